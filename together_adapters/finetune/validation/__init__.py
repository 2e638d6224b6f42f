"""The rules of training data, and the files that they are checked in."""
