"""Adapters: streams of model and agent libraries as neutral pieces, and conversations in the shapes that models want.

No library is imported here: each is recognised by what its stream yields.
"""

from syncd_client.adapters.history import (
    Attached,
    Call,
    History,
    anthropic_messages,
    from_parts,
    openai_chat,
    openai_responses,
    system_text,
)
from syncd_client.adapters.openai_agents import SyncdSession
from syncd_client.adapters.pieces import Piece
from syncd_client.adapters.sources import Pieces, recognise

__all__ = [
    "Attached",
    "Call",
    "History",
    "Piece",
    "Pieces",
    "SyncdSession",
    "anthropic_messages",
    "from_parts",
    "openai_chat",
    "openai_responses",
    "recognise",
    "system_text",
]
