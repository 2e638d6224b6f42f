"""What Together offers: one module per resource, pure builders bound to both clients."""
