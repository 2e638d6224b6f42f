"""Client CPU, side by side in one run with the best that a user could write: `python -m tests.benchmarks`."""
