"""The REST routes under `/v1`: one table (`table.ROUTES`), one pipeline (`route`), handlers by noun."""
