"""What selecting a robust model costs: every elimination rule replayed on tables of losses."""
