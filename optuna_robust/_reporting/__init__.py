"""What is shown of it: figures, texts, HTML, the dashboard."""
