"""Classes and functions of Python where a chat takes JSON: as schemas in the request, and as objects in the answer."""
