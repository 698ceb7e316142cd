"""LockFile: one process at a time, told apart by a file beside the store.

The operating system lets go of the lock when the process dies, however it dies. Knows nothing of databases.
"""

import fcntl
import os
import socket
from pathlib import Path

from syncd.core.errors import StoreLocked
from syncd.store.faults import os_error


class LockFile:
    """An exclusive lock on `path`, which names its holder's process and host.

    The file stays when the lock is let go: a process that waits on a file already removed would hold nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, without waiting; call `release` afterwards.

        Raises:
            StoreLocked: another process, or another store object of this one, holds it.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise os_error(error, self._path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 512, 0).decode(errors="replace").split()
            os.close(descriptor)
            raise StoreLocked(f"{self._path}: held by {_named(holder)}; stop it or use another --store") from None
        except OSError as error:
            os.close(descriptor)
            raise os_error(error, self._path) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _named(holder: list[str]) -> str:
    # Empty for the moment between taking the lock and writing the name.
    if not holder:
        return "another process"
    here = len(holder) == 1 or holder[1] == socket.gethostname()
    return f"process {holder[0]}" if here else f"process {holder[0]} on {holder[1]}"
