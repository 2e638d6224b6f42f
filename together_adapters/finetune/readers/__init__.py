"""Files, tables and other containers, read as records."""
