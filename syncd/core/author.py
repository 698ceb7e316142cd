"""The author rule: who may write what. In the transcript everybody writes and refers to nothing but their own.

Two halves: `check_bytes` needs the update alone and refuses most; `check_plan` asks what it changes. Knows nothing of
tokens, and nothing of shapes: that an update fits its document is the index's matter.
"""

from typing import Final

from syncd.core.bindings import Bindings
from syncd.core.continuation import Continuation
from syncd.core.errors import RejectCode, Rejected
from syncd.core.grant import Right
from syncd.core.ids import is_id
from syncd.core.index import ContainerIndex, Plan
from syncd.core.messages import Layer
from syncd.core.update import DecodedUpdate

#: The right that writing below a root of the transcript needs.
ROOT_RIGHTS: Final = {
    "messages": Right.TRANSCRIPT,
    "runs": Right.TRANSCRIPT,
    "commands": Right.COMMAND,
    "reads": Right.TRANSCRIPT,
}
_SERVER_ROOT: Final = "receipts"


def may_continue(text: Continuation, layer: Layer, subject: str, bindings: Bindings, rights: frozenset[Right]) -> bool:
    """Whether `subject` may write it; if not, `check_bytes` and `check_plan` say why.

    That the entry is the subject's own was checked when its client first wrote there.
    """
    own = bindings.owner(text.client) == subject
    return own and (layer is Layer.STATE or ROOT_RIGHTS.get(text.root) in rights)


def check_bytes(layer: Layer, update: DecodedUpdate, *, subject: str, bindings: Bindings) -> list[int]:
    """Check whose client ids an update writes under and, in the transcript, names at all.

    Return the ids that are free: bind them to `subject` once the update is accepted, before anybody else sees it. An
    unbound id may be referred to only where the update itself brings content under it.

    Raises:
        Rejected: `foreign_client_id`, `session_full`; in the transcript also `foreign_reference`, `server_only`,
            `wrong_root`, `wrong_content` (a root without keys) or `right_origin`.
    """
    free = bindings.unbound(subject, update.sections)
    if layer is Layer.STATE:
        return free
    named = {client for client, _, _ in update.deletes}
    for client, structs in update.sections.items():
        for _, _, _, origin, right_origin, parent, key, _ in structs:
            if right_origin is not None:
                raise Rejected(RejectCode.RIGHT_ORIGIN, "a right origin in the transcript")
            if origin is not None:
                if origin[0] != client:
                    named.add(origin[0])
            elif type(parent) is str:
                _check_root(parent, key)
            elif type(parent) is tuple and parent[0] != client:
                named.add(parent[0])
    for client in named:
        if client not in update.sections and bindings.owner(client) != subject:
            raise Rejected(RejectCode.FOREIGN_REFERENCE, "a reference to, or a deletion of, what somebody else wrote")
    return free


def _check_root(root: str, key: str | None) -> None:
    if root == _SERVER_ROOT:
        raise Rejected(RejectCode.SERVER_ONLY, "receipts are written by the server")
    if root not in ROOT_RIGHTS:
        raise Rejected(RejectCode.WRONG_ROOT, "a root that the transcript does not have")
    if key is None:
        raise Rejected(RejectCode.WRONG_CONTENT, "a root of the transcript holds entries under keys")


def check_plan(
    plan: Plan, index: ContainerIndex, *, subject: str, bindings: Bindings, rights: frozenset[Right]
) -> None:
    """Check which entries of the transcript an update changes. Call it before the plan is committed.

    Raises:
        Rejected: `forbidden`, `foreign_entry`, `foreign_reference`, `immutable`, `server_only`, or `wrong_content` for
            a key that is no id.
    """
    touched = plan.touched(index)
    for root, key in touched:
        right = ROOT_RIGHTS.get(root)
        if right is None:
            raise Rejected(RejectCode.SERVER_ONLY, "receipts are written by the server")
        if right not in rights:
            raise Rejected(RejectCode.FORBIDDEN, f"writing {root} needs the right {right.value}")
        first = index.entries[root].get(key)
        if first is not None:
            if bindings.owner(first) != subject:
                raise Rejected(RejectCode.FOREIGN_ENTRY, f"an entry of {root} that somebody else wrote")
        elif root == "reads":
            if key != subject:
                raise Rejected(RejectCode.FOREIGN_ENTRY, "how far somebody else has read")
        elif not is_id(key):
            raise Rejected(RejectCode.WRONG_CONTENT, f"a key of {root} that is no id")
        if root == "commands" and first is not None:
            raise _immutable()
    if any(root == "commands" for root, _ in touched):
        written = [insert.key for insert in plan.inserts if insert.container == "commands"]
        gone = any(deletion.container == "commands" for deletion in plan.deletions)
        if gone or len(set(written)) < len(written):
            raise _immutable()
    for _, _, client, _, _ in plan.deletions:
        if bindings.owner(client) not in (subject, None):
            raise Rejected(RejectCode.FOREIGN_REFERENCE, "a deletion of what somebody else wrote")


def _immutable() -> Rejected:
    # What was proposed must stay what the server decides on.
    return Rejected(RejectCode.IMMUTABLE, "a command cannot be changed or deleted")
