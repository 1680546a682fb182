"""Error measures in NumPy."""
