"""The Python client of syncd: sessions that work offline, on this disk, and in step with everybody else's."""

from syncd.core.branches import BranchItem
from syncd.core.errors import LocalProtocolError, StoreError, SyncdError
from syncd.core.messages import IndexRow
from syncd.core.people import Person
from syncd.core.run_view import RunView
from syncd.core.transcript import MessageView
from syncd_client.agent import Agent
from syncd_client.audience import Audience
from syncd_client.changes import (
    Assigned,
    CaughtUp,
    Change,
    CommandChanged,
    EditRefused,
    MessageChanged,
    PresenceChanged,
    ReadMoved,
    RunChanged,
    StateChanged,
    StatusChanged,
)
from syncd_client.client import Client
from syncd_client.commands import Command
from syncd_client.index import SessionIndex
from syncd_client.posted import Message
from syncd_client.run import Run
from syncd_client.run_failures import LeaseLost, RunFailed
from syncd_client.run_stream import Asked, Streamed
from syncd_client.session import Session
from syncd_client.status import Link, Status
from syncd_client.steering import Steer
from syncd_client.sub_run import SubRun
from syncd_client.tool import Decision, ToolCall, ToolDenied
from syncd_client.transport import RequestFailed, Unreachable
from syncd_client.view import View
from syncd_client.waiting import NotSynced

__all__ = [
    "Agent",
    "Asked",
    "Assigned",
    "Audience",
    "BranchItem",
    "CaughtUp",
    "Change",
    "Client",
    "Command",
    "CommandChanged",
    "Decision",
    "EditRefused",
    "IndexRow",
    "LeaseLost",
    "Link",
    "LocalProtocolError",
    "Message",
    "MessageChanged",
    "MessageView",
    "NotSynced",
    "Person",
    "PresenceChanged",
    "ReadMoved",
    "RequestFailed",
    "Run",
    "RunChanged",
    "RunFailed",
    "RunView",
    "Session",
    "SessionIndex",
    "StateChanged",
    "Status",
    "StatusChanged",
    "Steer",
    "StoreError",
    "Streamed",
    "SubRun",
    "SyncdError",
    "ToolCall",
    "ToolDenied",
    "Unreachable",
    "View",
]
