"""Writes rows to a file that trains, with fixes and a report."""
