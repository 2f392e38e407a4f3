"""One driver at a time for a search: a second one would take the trials under way for a dead driver's and run them too.

On a local or shared file system it is a lock, which the system drops when its process ends, however that was. Object
stores have none: there the driver leaves a note and renews it; a note that nobody renews is a dead driver's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.engine.storage import Storage
from orchestrator.search.storage import FOLDER
from trainables.errors import UserError

RENEW = 15.0  # seconds between renewals of a note
EXPIRES = 60.0  # seconds after which a note that is not renewed is a dead driver's
_LOOK = 1.0  # seconds between looks at somebody else's note

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(storage: Storage, sweep: str, say: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Holds a sweep's search.

    Args:
        storage: Of the sweep.
        sweep: Its name.
        say: Told where a dead driver's note has to be waited out.

    Raises:
        UserError: Where another driver has it.
    """
    name = f"{FOLDER}/{sweep}.driver"
    with _locked(Path(storage.path(name)), sweep) if storage.local else _noted(storage, name, sweep, say):
        yield


@contextlib.contextmanager
def _locked(path: Path, sweep: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _taken(sweep, _parsed(file.read())) from None
        except OSError as error:  # some network file systems have no locks
            _log.warning("%s cannot be locked (%s): take care that no other driver runs this search", path, error)
        file.truncate(0)
        file.write(json.dumps(_me()))
        file.flush()
        yield


@contextlib.contextmanager
def _noted(storage: Storage, name: str, sweep: str, say: Callable[[str], None]) -> Iterator[None]:
    me = {**_me(), "id": uuid.uuid4().hex}
    _wait_for(storage, name, sweep, say)
    storage.write_json(name, {**me, "renewed": time.time()})
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEW):
            try:
                storage.write_json(name, {**me, "renewed": time.time()})
            except OSError as error:  # tried again soon
                _log.warning("the note that this driver has the search could not be renewed: %s", error)

    thread = threading.Thread(target=renew, name="search lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(OSError):  # it expires
            storage.delete(name)


def _wait_for(storage: Storage, name: str, sweep: str, say: Callable[[str], None]) -> None:
    """Returns when nobody has the search: no note, or one that is not renewed for as long as notes live."""
    first = storage.read(name)
    if first is None or _is_dead(_parsed(first.decode(errors="replace"))):
        return
    owner = _described(_parsed(first.decode(errors="replace")))
    say(f"{owner} had this search: waiting {EXPIRES:.0f} seconds for a sign of life")
    end = time.monotonic() + EXPIRES
    while time.monotonic() < end:
        time.sleep(_LOOK)
        now = storage.read(name)
        if now is None:
            return
        if now != first:
            raise _taken(sweep, _parsed(now.decode(errors="replace")))


def _is_dead(note: dict[str, Any]) -> bool:
    """Whether a note is of a process of this machine that has ended."""
    if note.get("host") != platform.node() or not isinstance(note.get("pid"), int):
        return False
    try:
        os.kill(note["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _me() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _described(note: dict[str, Any]) -> str:
    known = ", ".join(f"{name} {note[name]}" for name in ("host", "pid", "since") if name in note)
    return f"another driver ({known})" if known else "another driver"


def _taken(sweep: str, note: dict[str, Any]) -> UserError:
    return UserError(
        f"{_described(note)} works on the search of sweep {sweep!r}: two would train its trials twice. Wait for it, "
        "stop it, or give this search another --sweep"
    )
