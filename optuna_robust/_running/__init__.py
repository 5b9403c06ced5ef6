"""Where instances are trained and kept: workers, their pool, the store."""
