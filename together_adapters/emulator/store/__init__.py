"""What the account holds: files, jobs, models, limits."""
