"""Bindings: which subject a CRDT client id belongs to, for ever, in one session.

The ground of the author rule. Knows nothing of updates or peers.
"""

from collections.abc import Iterable, Mapping

from syncd.core.errors import RejectCode, Rejected


class Bindings:
    """Client id to subject.

    1. A client id belongs to one subject and never changes it.
    2. No more than `ids_max` ids are bound.
    """

    def __init__(self, *, ids_max: int) -> None:
        self._ids_max = ids_max
        self._subjects: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._subjects)

    def owner(self, client_id: int) -> str | None:
        """Return the subject `client_id` is bound to, or None."""
        return self._subjects.get(client_id)

    def unbound(self, subject: str, client_ids: Iterable[int]) -> list[int]:
        """Return those of `client_ids` that are still free for `subject`.

        Raises:
            Rejected: `foreign_client_id` if one belongs to somebody else, `session_full` if there would be too many.
        """
        free = []
        for client_id in client_ids:
            owner = self._subjects.get(client_id)
            if owner is None:
                free.append(client_id)
            elif owner != subject:  # Invariant 1.
                raise Rejected(RejectCode.FOREIGN_CLIENT_ID, "a client id of the update belongs to somebody else")
        if free and len(self._subjects) + len(free) > self._ids_max:  # Invariant 2.
            raise Rejected(RejectCode.SESSION_FULL, f"the session has its {self._ids_max} client ids")
        return free

    def bind(self, subject: str, client_ids: Iterable[int]) -> None:
        """Bind ids that `unbound` returned."""
        for client_id in client_ids:
            self._subjects[client_id] = subject

    def export(self) -> Mapping[str, list[int]]:
        """Return subject to its client ids, for the log."""
        grouped: dict[str, list[int]] = {}
        for client_id, subject in self._subjects.items():
            grouped.setdefault(subject, []).append(client_id)
        return grouped
