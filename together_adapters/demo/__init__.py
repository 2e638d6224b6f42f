"""What `together-adapters demo` does: it answers questions about Python with citations, and shows what the library does besides.

`together_adapters.cli.demo` prints it. The recipes of the cookbook use the corpus and its keyword index.
"""
