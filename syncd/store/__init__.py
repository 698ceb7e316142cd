"""Durable logs: the server's `SessionLog` with its engines, and the Python client's local store."""
