"""Files that chat applications and frameworks write, as records."""
