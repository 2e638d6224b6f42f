"""Many calls against a server that breaks HTTP in every way: `python -m tests.soak`."""
