"""The limits of the service and of users: who may send a request, and when."""
