"""syncd: durable, local-first sessions shared by people, their devices and AI agents."""

__version__ = "0.1.0"
