"""What other providers and models write in other layouts: messages, tools, tool calls as text."""
