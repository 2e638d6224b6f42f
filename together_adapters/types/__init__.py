"""What travels: request parameters and answers. No I/O here."""
