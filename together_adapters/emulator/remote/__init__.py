"""A real model behind the emulator: chat, completions and embeddings of an OpenAI-compatible server, as Together answers them."""
