"""What a robust search costs: the truth of the returned model against trainings spent."""
