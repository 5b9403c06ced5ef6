"""What other packages compute: run by their own Python, from JSON on stdin to JSON on stdout."""
