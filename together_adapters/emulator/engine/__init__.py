"""What a model would answer: text, tool calls, JSON, by fixed rules."""
