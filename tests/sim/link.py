"""Link: one connection between a node and the server: frames in order, each way, until it is cut.

Knows nothing of what the frames say.
"""

from collections import deque
from dataclasses import dataclass, field

from syncd.core.grant import Grant

#: The second byte of every push: the frame's type, behind the array's head.
_PUSH = bytes((3,))


@dataclass(eq=False)
class Link:
    """`up` and `down` hold what is under way. A side that `left` no longer reads."""

    peer: str
    grant: Grant
    #: The life of the process at its other end.
    worker: str = ""
    up: deque[bytes] = field(default_factory=deque)
    down: deque[bytes] = field(default_factory=deque)
    down_bytes: int = 0
    up_stalled: bool = False
    down_stalled: bool = False
    duplicated: bool = False
    client_left: bool = False
    server_left: bool = False
    # What the server's side knows: whether the session is open on it, and whether its reader is behind, since when.
    opened: bool = False
    behind: bool = False
    behind_since_s: float = 0.0
    owed_bytes: int = 0

    def send_down(self, frame: bytes) -> None:
        """Put a frame on its way to the client."""
        if not self.client_left:
            self.down.append(frame)
            self.down_bytes += len(frame)

    def take_down(self) -> bytes:
        """Take the next frame for the client."""
        frame = self.down.popleft()
        self.down_bytes -= len(frame)
        return frame

    def duplicate(self, roll: int) -> bool:
        """Have a frame that is under way arrive twice in a row; return whether there was one."""
        self.duplicated = True
        queue = self.up if roll & 1 else self.down
        if not queue:
            return False
        at = (roll >> 1) % len(queue)
        frame = queue[at]
        queue.insert(at, frame)
        if queue is self.down:
            self.down_bytes += len(frame)
        return True

    def lose_push(self, roll: int) -> bool:
        """Lose a push that is under way; return whether there was one."""
        pushes = [at for at, frame in enumerate(self.up) if frame[1:2] == _PUSH]
        if pushes:
            del self.up[pushes[0 if roll & 1 else roll % len(pushes)]]  # Its successors then come without it.
        return bool(pushes)
