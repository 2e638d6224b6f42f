"""The framework-independent parts of the LangChain and LlamaIndex adapters."""
