"""Records made into rows that train, and written."""
