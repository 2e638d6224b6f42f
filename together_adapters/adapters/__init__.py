"""What the LangChain and LlamaIndex adapters share and no framework is needed for."""
