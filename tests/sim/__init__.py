"""A deterministic simulator: one seed, one server, several clients, and everything that can go wrong between them."""
