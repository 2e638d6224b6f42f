"""How requests reach a route, and how responses leave."""
