"""One limiter, one ledger and one budget for every call of a program. Nothing here is imported by a client without it."""
