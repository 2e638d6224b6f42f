"""`demo`: questions about Python, answered with citations, and what the library does besides."""
