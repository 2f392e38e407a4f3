"""Where a search's Optuna studies lie: a journal file beside the leaderboard, whatever filesystem that is on.

    optuna-dashboard runs/studies/<sweep>.journal

Optuna writes its journal as a local file. Where the storage is an object store the file is worked on in the user's
cache and copied to the storage after each change that must not be lost. What is stored there counts: a copy in the
cache is gone on with only where it begins with all of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.engine.storage import Storage
from trainables.errors import UserError

if TYPE_CHECKING:
    import optuna

FOLDER = "studies"
#: Seconds after which a lock counts as left by a killed process; Optuna holds it for milliseconds.
STALE_LOCK = 10
#: Seconds between uploads of what may be lost.
UPLOAD_INTERVAL = 30.0

_log = logging.getLogger(__name__)


class Journal:
    """The journal of a sweep's studies.

    Args:
        storage: The sweep's storage.
        sweep: Its name.
        only_read: Work on a copy: nothing is written to the storage, and the driver that has the search may be at work.
    """

    def __init__(self, storage: Storage, sweep: str, only_read: bool = False) -> None:
        self._only_read = only_read
        self._storage = storage
        self._name = f"{FOLDER}/{sweep}.journal"
        self._uploaded = 0  # bytes; as a journal only grows, they tell whether it has changed
        self._tried = -UPLOAD_INTERVAL
        self._refused = False
        self.path = self._copied() if only_read else self._original(sweep)

    def open(self) -> optuna.storages.JournalStorage:
        """The storage for Optuna; a last line that a killed process left unfinished is taken out first.

        Raises:
            UserError: For a journal that is damaged elsewhere.
        """
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
        backend = JournalFileBackend(str(self.path), JournalFileSymlinkLock(str(self.path), STALE_LOCK))
        try:
            opened = JournalStorage(backend)
            for study in opened.get_all_studies():
                opened.get_all_trials(study._study_id, deepcopy=False)
        except Exception as error:  # Optuna trusts its lines: a wrong one ends in an assertion, a KeyError, ...
            raise self._damaged(f"Optuna cannot read it ({type(error).__name__}: {error})") from error
        return opened

    def save(self, lazily: bool = False) -> None:
        """Brings the journal to the storage, where it does not lie there already.

        A storage that refuses it is no reason to end a search: there is a warning, and the next call tries again.

        Args:
            lazily: Whether what was added may wait: there are :data:`UPLOAD_INTERVAL` seconds between uploads then.
        """
        if lazily and time.monotonic() - self._tried < UPLOAD_INTERVAL:
            return
        try:
            self._upload()
        except OSError as error:
            if not self._refused:
                _log.warning(
                    "the journal %s cannot be brought to %s for now: %s", self.path, self._storage.location, error
                )
            self._refused = True

    def flush(self) -> None:
        """As :meth:`save`, at the end of a search, when no later call would try again.

        Raises:
            OSError: Where the storage refuses it.
        """
        try:
            self._upload()
        except OSError as error:
            raise OSError(
                f"the journal {self.path} could not be brought to {self._storage.location}: {error}; to do so, run the "
                "same command again on this machine"
            ) from error

    def _drop_dangling_lock(self) -> None:
        """Takes away the lock of a dead driver whose journal was moved since; Optuna would wait for ever."""
        lock = self.path.with_name(f"{self.path.name}.lock")
        if lock.is_symlink() and not lock.exists():
            lock.unlink(missing_ok=True)

    def _mend(self) -> None:
        """Leaves out a last line that is no JSON object.

        Raises:
            UserError: For any other line: Optuna numbers trials by their lines, so one that is left out would shift
                those after it.
        """
        content = self.path.read_bytes()
        lines = content.splitlines(keepends=True)
        bad = [number for number, line in enumerate(lines) if not (line.endswith(b"\n") and _is_entry(line))]
        if not bad:
            return
        if bad != [len(lines) - 1]:
            raise self._damaged(f"line {bad[0] + 1} of {len(lines)} is no entry of a journal")
        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:8]}.damaged")
        aside.write_bytes(content)
        _write_whole(self.path, b"".join(lines[:-1]))
        _log.warning("the unfinished last line of %s was left out; as it was: %s", self.path, aside)

    def _damaged(self, how: str) -> UserError:
        return UserError(
            f"the journal of the search, {self.path}, is damaged: {how}. Bring an earlier copy back, or give another "
            "--sweep; what is trained is found there, too"
        )

    def _upload(self) -> None:
        """Copies the journal to an object store, if it has changed since it was last copied."""
        if self._storage.local or self._only_read or not self.path.exists():
            return
        size = self.path.stat().st_size  # before it is read: what is added meanwhile is uploaded the next time
        if size == self._uploaded:
            return
        try:
            self._storage.upload(self.path, self._name)
        finally:
            self._tried = time.monotonic()
        self._uploaded, self._refused = size, False

    def _original(self, sweep: str) -> Path:
        return Path(self._storage.path(self._name)) if self._storage.local else self._fetched(sweep)

    def _copied(self) -> Path:
        """A copy that goes with the process; not there where there is no journal."""
        self._folder = tempfile.TemporaryDirectory(prefix="stilt-journal-")
        path = Path(self._folder.name) / Path(self._name).name
        stored = self._storage.read(self._name)
        if stored is not None:
            path.write_bytes(stored)
        return path

    def _fetched(self, sweep: str) -> Path:
        """The local copy of a journal in an object store: what is stored, and what was added to it here since.

        Another copy, however long, is of a study that went on elsewhere without it, or that was deleted.
        """
        where = hashlib.sha256(self._storage.location.encode()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "stilt-sweeps" / FOLDER / where
        path = cache / f"{sweep}.journal"
        stored = self._storage.read(self._name)
        here = path.read_bytes() if path.exists() else b""
        self._uploaded = len(stored or b"")
        if stored and here.startswith(stored):
            return path
        if here and not (stored or b"").startswith(here):
            self._set_aside(path)
        if stored:
            _write_whole(path, stored)
        else:
            path.unlink(missing_ok=True)
        return path

    def _set_aside(self, path: Path) -> None:
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.outdated")
        path.replace(aside)
        where = self._storage.location
        _log.warning("%s has another journal than the copy %s, or none any more; as it was: %s", where, path, aside)


def _write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that whoever reads it sees the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
