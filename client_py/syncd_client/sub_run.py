"""SubRun: a run below another one, for whoever waits for it, or writes it.

Knows nothing of how a run is written.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

from syncd.core.run_view import RunView
from syncd.core.schema import Root
from syncd.core.transcript import MessageView

if TYPE_CHECKING:
    from syncd_client.run import Run
    from syncd_client.session import Session


class SubRun:
    """A run below another one, for whoever waits for it."""

    def __init__(self, session: Session, id: str) -> None:
        self.session = session
        self.id = id

    @property
    def view(self) -> RunView | None:
        """The run as everybody sees it; None before the server has made it."""
        return self.session.run(self.id)

    @property
    def messages(self) -> list[MessageView]:
        """What its agent wrote, as far as it counts: whoever else names the run adds nothing to it."""
        return self.session.outputs(self.id)

    @property
    def text(self) -> str:
        """The text of its answer, without what it asked others for it."""
        return "\n\n".join(view.text for view in self.messages if view.text and view.role == "assistant")

    async def ended(self, *, timeout: float | None = None) -> RunView:  # noqa: ASYNC109 - the API says so
        """Return the run when it is over.

        Raises:
            TimeoutError: not within `timeout` seconds.
        """

        def look() -> RunView | None:
            return view if (view := self.view) is not None and view.ended else None

        async with asyncio.timeout(timeout):
            return await self.session.watchers.until(look, roots=(Root.RECEIPTS, Root.RUNS))


class OwnSubRun(SubRun):
    """A run of the same agent below its own. Use as `async with`: leaving the block ends it.

    1. It is in the transcript before the block begins, and over when the block is left, however that happens.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run.session, run.id)
        self._run = run

    async def __aenter__(self) -> Run:
        self._run.open(asyncio.current_task())
        await self._run.flush()
        return self._run

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._run.end_with(error)
        task = asyncio.current_task()
        # Cancelled for itself, it ends here; the run above goes on.
        if isinstance(error, asyncio.CancelledError) and self._run.cancelled and task is not None:
            return task.uncancel() == 0
        return False
