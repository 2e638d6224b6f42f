"""Calls and flows as values, pure policies, and the two drivers that perform them."""
