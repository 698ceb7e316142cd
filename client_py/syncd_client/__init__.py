"""The Python client of syncd."""
