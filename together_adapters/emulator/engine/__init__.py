"""What the emulator answers, by fixed rules.

`responder` answers a request, `tool_calls` chooses its tool calls, `nearest_example` answers for fine-tuned models.
"""
