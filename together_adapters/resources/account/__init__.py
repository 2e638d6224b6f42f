"""What belongs to an account, and requests to any path."""
