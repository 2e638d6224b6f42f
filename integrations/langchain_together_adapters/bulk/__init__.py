"""Batches of LangChain as jobs of the Batch API."""
