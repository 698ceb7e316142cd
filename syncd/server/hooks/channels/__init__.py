"""Channels: the ways by which a notice leaves the server, one a module."""
