"""`chat.completions`, `completions` and `chat.interactive`."""
