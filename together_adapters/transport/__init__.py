"""How it travels: calls and flows as values, pure policies, and two small drivers that perform them."""
