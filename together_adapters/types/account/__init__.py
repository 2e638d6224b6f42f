"""Responses about an account: who it is, what it costs, and what its projects run."""
