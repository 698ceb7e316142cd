"""The terminal: the command `syncd`. The only package that knows both the server and the client."""

from syncd.cli.main import main

__all__ = ["main"]
