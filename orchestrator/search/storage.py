"""Where a search's Optuna studies lie: a journal file beside the leaderboard, whatever filesystem that is on.

    optuna-dashboard runs/studies/<sweep>.journal

Optuna writes its journal as a local file. Where the storage is an object store the file is worked on in the user's
cache and copied to the storage after each change that must not be lost.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.engine.storage import Storage

if TYPE_CHECKING:
    import optuna

FOLDER = "studies"
#: Seconds after which a lock counts as left by a killed process; Optuna holds it for milliseconds.
STALE_LOCK = 10

_log = logging.getLogger(__name__)


class Journal:
    """The journal of a sweep's studies.

    Args:
        storage: The sweep's storage.
        sweep: Its name.
    """

    def __init__(self, storage: Storage, sweep: str) -> None:
        self._storage = storage
        self._name = f"{FOLDER}/{sweep}.journal"
        self.path = Path(storage.path(self._name)) if storage.local else self._fetched(sweep)

    def open(self) -> optuna.storages.JournalStorage:
        """The storage for Optuna; a line that a killed process left unfinished is taken out first."""
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._drop_dangling_lock()
        lock = JournalFileSymlinkLock(str(self.path), STALE_LOCK)
        lock.acquire()
        try:
            self._mend()
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(self.path), JournalFileSymlinkLock(str(self.path), STALE_LOCK)))

    def save(self) -> None:
        """Brings the journal to the storage, where it does not lie there already."""
        if not self._storage.local:
            self._storage.upload(self.path, self._name)

    def _drop_dangling_lock(self) -> None:
        """Takes away the lock of a dead driver whose journal was moved since; Optuna would wait for ever."""
        lock = self.path.with_name(f"{self.path.name}.lock")
        if lock.is_symlink() and not lock.exists():
            lock.unlink(missing_ok=True)

    def _mend(self) -> None:
        """Leaves out lines that are no JSON objects; Optuna would refuse the file."""
        content = self.path.read_bytes()
        lines = content.splitlines(keepends=True)
        sound = [line for line in lines if line.endswith(b"\n") and _is_entry(line)]
        if len(sound) == len(lines):
            return
        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:8]}.damaged")
        aside.write_bytes(content)
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
        temporary.write_bytes(b"".join(sound))
        temporary.replace(self.path)
        _log.warning(
            "%d unfinished lines of %s were left out; as it was: %s", len(lines) - len(sound), self.path, aside
        )

    def _fetched(self, sweep: str) -> Path:
        """The local copy of a journal in an object store: the longer one of both, since a journal only grows."""
        where = hashlib.sha256(self._storage.location.encode()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "stilt-sweeps" / FOLDER / where
        path = cache / f"{sweep}.journal"
        stored = self._storage.read(self._name)
        if stored is not None and (not path.exists() or path.stat().st_size < len(stored)):
            cache.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stored)
        return path


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
