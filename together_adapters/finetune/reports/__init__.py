"""What is known of a data set: counts, distributions, differences, plots."""
