"""The Python client of syncd: sessions that work offline, on this disk, and in step with everybody else's."""

from syncd.core.branches import BranchItem
from syncd.core.errors import LocalProtocolError, StoreError, SyncdError
from syncd.core.transcript import MessageView
from syncd_client.changes import (
    CaughtUp,
    Change,
    CommandChanged,
    EditRefused,
    MessageChanged,
    PresenceChanged,
    ReadMoved,
    StateChanged,
    StatusChanged,
)
from syncd_client.client import Client
from syncd_client.posted import Message
from syncd_client.session import Session
from syncd_client.status import Link, Status
from syncd_client.transport import RequestFailed, Unreachable
from syncd_client.view import View
from syncd_client.waiting import NotSynced

__all__ = [
    "BranchItem",
    "CaughtUp",
    "Change",
    "Client",
    "CommandChanged",
    "EditRefused",
    "Link",
    "LocalProtocolError",
    "Message",
    "MessageChanged",
    "MessageView",
    "NotSynced",
    "PresenceChanged",
    "ReadMoved",
    "RequestFailed",
    "Session",
    "StateChanged",
    "Status",
    "StatusChanged",
    "StoreError",
    "SyncdError",
    "Unreachable",
    "View",
]
