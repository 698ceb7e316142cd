"""Diagnosis: what is right and what is wrong with a store, a server's or a device's.

Only reads, beside a running server too. Knows nothing of how findings are shown.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from syncd.cli.words import clean, plural, size
from syncd.core.errors import StoreDamaged, StoreError
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.replica import ReplicaBroken
from syncd.core.server import ServerMachine
from syncd.server.revocations import Revocations
from syncd.store import local, session_log
from syncd.store.check_local import check_local
from syncd.store.session_log import SqliteSessionLog
from syncd.store.sqlite import Database, Schema

_FREE_BYTES_MIN = 64 << 20
_WAL_BYTES_MAX = 64 << 20
_PAGE = 200
_SQLITE_MAGIC = b"SQLite format 3\x00"
_DAMAGE = "stop the server, keep a copy of the file, restore from a backup what is named here"


class Level(StrEnum):
    """How bad a finding is. Only a problem makes the doctor fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what about it, and what to do, empty if nothing."""

    level: Level
    about: str
    what: str
    do: str = ""


#: Called with what is being done, and how much of how much of it is.
Progress = Callable[[str, int, int], None]


class Doctor:
    """Looks at one store and says what it finds.

    1. Nothing is written and no lock is kept: a server may run meanwhile.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress
        self.findings: list[Finding] = []

    @property
    def healthy(self) -> bool:
        """Whether no problem was found."""
        return all(finding.level is not Level.PROBLEM for finding in self.findings)

    async def examine(self) -> Sequence[Finding]:
        """Look at everything there is to look at and return the findings."""
        if not self._path.is_file():
            self._problem("file", f"there is no file {self._path}", "check the path; a server makes it when it starts")
            return self.findings
        schema = self._schema()
        if schema is None:
            return self.findings
        self._files()
        if schema is session_log.SCHEMA:
            self._lock()
            await self._server_store()
        else:
            await self._local_store()
        return self.findings

    # The file

    def _schema(self) -> Schema | None:
        """Tell from the file's header which kind of store it is, without opening it as one."""
        try:
            with self._path.open("rb") as file:
                header = file.read(100)
        except OSError as error:
            self._problem("file", f"cannot be read: {error.strerror}", "run this as the user that runs the server")
            return None
        if not header:
            self._problem("file", "is empty: nothing was ever written", "name another path, or start a server on it")
            return None
        if not header.startswith(_SQLITE_MAGIC) or len(header) < 100:
            self._problem("file", "is no SQLite database, or its first page is overwritten", f"{_DAMAGE}")
            return None
        application = int.from_bytes(header[68:72], "big") or self._pragma("application_id")
        for schema in (session_log.SCHEMA, local.SCHEMA):
            if application == schema.application_id:
                return schema if self._version(schema) else None
        self._problem("file", "is a database, but none of syncd's", "name another path")
        return None

    def _version(self, schema: Schema) -> bool:
        version, newest = self._pragma("user_version"), len(schema.migrations)
        if version > newest:
            self._problem(
                "schema", f"is version {version}, this syncd knows {newest}", "upgrade syncd; nothing was changed"
            )
            return False
        if 0 < version < newest:
            self._note("schema", f"is version {version} of {newest}", "it is brought up to date when it is opened")
            return False
        self._ok("file", f"a {schema.name}, schema version {version}, {size(self._path.stat().st_size)}")
        return True

    def _pragma(self, name: str) -> int:
        """Return a number of the header as it is with the write-ahead log counted in."""
        try:
            connection = sqlite3.connect(f"file:{quote(str(self._path.absolute()))}?mode=ro", uri=True)
            try:
                number: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
                return number
            finally:
                connection.close()
        except sqlite3.Error:
            return 0  # What is wrong with it is found, and said, when it is opened as a store.

    def _files(self) -> None:
        for path in (self._path, self._beside("-wal"), self._beside("-shm"), self._beside(".lock")):
            if not path.exists():
                continue
            found = path.stat()
            if found.st_mode & 0o077:
                mode = oct(found.st_mode & 0o777)[2:]
                self._problem("permissions", f"{path.name} can be read by others (mode {mode})", f"chmod 600 {path}")
            if found.st_uid != os.geteuid():
                self._note("permissions", f"{path.name} belongs to another user", "a server must run as its owner")
        self._space()
        wal = self._beside("-wal")
        bytes_ = wal.stat().st_size if wal.exists() else 0
        if bytes_ > _WAL_BYTES_MAX:
            self._note("write-ahead log", f"is {size(bytes_)}", "end what reads it for long, then restart the server")
        else:
            self._ok("write-ahead log", size(bytes_))

    def _space(self) -> None:
        free = shutil.disk_usage(self._path.parent).free
        if free < _FREE_BYTES_MIN:
            self._problem("disk", f"only {size(free)} free", "free some: at none left, nothing is accepted any more")
        elif free < 2 * self._path.stat().st_size:
            self._note("disk", f"{size(free)} free, less than twice the store", "erasing needs room for a second copy")
        else:
            self._ok("disk", f"{size(free)} free")

    def _lock(self) -> None:
        path = self._beside(".lock")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._ok("lock", "no server holds it")
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self._ok("lock", "no server holds it")
        except BlockingIOError:
            holder = clean(os.pread(descriptor, 512, 0).decode(errors="replace").strip(), lines=False).split()
            named = f"process {holder[0]}" + (f" on {holder[1]}" if holder[1:] else "") if holder else "a process"
            self._ok("lock", f"held by {named}: a server is running")
        finally:
            os.close(descriptor)

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)

    # A server's

    async def _server_store(self) -> None:
        try:
            Revocations(self._path.with_name(self._path.name + ".revoked.json"))
        except StoreError as error:
            self._problem("revoked tokens", str(error), "restore it from a backup, or rotate the keys and remove it")
        log = SqliteSessionLog(self._path, read_only=True)
        try:
            await log.open()
        except StoreError as error:
            self._problem("store", str(error), _DAMAGE)
            return
        try:
            problems = await log.verify(lambda done, total: self._progress("checking rows", done, total))
            for problem in problems:
                self._problem(f"session {problem.session}" if problem.session else "store", problem.what, _DAMAGE)
            if not problems:
                self._ok("rows", "all check")
            await self._load_sessions(log, {problem.session for problem in problems})
        except StoreError as error:
            self._problem("store", str(error), _DAMAGE)
        finally:
            await log.close()

    async def _load_sessions(self, log: SqliteSessionLog, known: set[str]) -> None:
        names: list[str] = []
        while page := await log.list(after=names[-1] if names else "", limit=_PAGE):
            names += [info.session for info in page]
        bad = 0
        for number, name in enumerate(names, start=1):
            self._progress("loading sessions", number, len(names))
            if name in known:
                bad += 1
                continue
            info = await log.info(name)
            machine = ServerMachine(name, info.incarnation if info else "", DEFAULT_LIMITS, client_id=0)
            try:
                machine.load(await log.read(name))
                machine.messages()
            except (StoreDamaged, ReplicaBroken) as error:
                bad += 1
                self._problem(f"session {name}", f"does not load: {error}", _DAMAGE)
        if not bad:
            self._ok("sessions", f"{plural(len(names), 'session')}, all load")
        else:
            self._note("sessions", f"{len(names) - bad} of {len(names)} load")

    # A device's

    async def _local_store(self) -> None:
        database = Database(self._path, local.SCHEMA, read_only=True)
        try:
            await database.open()
        except StoreError as error:
            self._problem("store", str(error), "keep a copy of the file, then remove it: it is fetched from the server")
            return
        try:
            report = await check_local(database, lambda done, total: self._progress("checking rows", done, total))
        except StoreError as error:
            self._problem("store", str(error), "keep a copy of the file, then remove it: it is fetched from the server")
            return
        finally:
            await database.close()
        for problem in report.problems:
            about = f"session {problem.session}" if problem.session else "store"
            self._problem(about, problem.what, "keep a copy, then forget the session: it is fetched from the server")
        if not report.problems:
            self._ok("rows", "all check")
        for place in report.places:
            if place.unsynced:
                what = f"{plural(place.unsynced, 'edit')} not synced"
                self._note(f"session {place.session}", what, "they go out when it is opened with a network")
            if place.refused:
                what = f"{plural(place.refused, 'edit')} refused by the server"
                self._note(f"session {place.session}", what, "they are kept until an app drops them")
        self._ok("sessions", plural(len(report.places), "session"))

    def _ok(self, about: str, what: str) -> None:
        self.findings.append(Finding(Level.OK, about, what))

    def _note(self, about: str, what: str, do: str = "") -> None:
        self.findings.append(Finding(Level.NOTE, about, what, do))

    def _problem(self, about: str, what: str, do: str) -> None:
        self.findings.append(Finding(Level.PROBLEM, about, what, do))
