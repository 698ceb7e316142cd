"""Hooks: events become notices, by rules; notices wait in the outbox until a channel has delivered them."""
