"""Reports on training data: counts, distributions, differences, plots."""
