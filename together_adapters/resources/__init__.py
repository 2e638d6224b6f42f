"""The resources of the API: one module each, with pure functions that describe requests, bound to both clients."""
