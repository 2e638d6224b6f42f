"""Validates training data: rows against the rules of their format, and files as a whole."""
