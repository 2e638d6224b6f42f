"""`doctor`: what the service answers today, on one page, and as data for the emulator."""
