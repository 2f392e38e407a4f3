"""One driver at a time has a search, and a dead one's is free."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.engine.storage import Storage
from orchestrator.search import lease
from tests.orchestrator.engine.test_store_s3 import at, server
from trainables.errors import UserError

__all__ = ["at", "server"]  # fixtures

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys, time
from orchestrator.engine.storage import Storage
from orchestrator.search import lease
with lease.held(Storage(sys.argv[1]), "doktra"):
    print("held", flush=True)
    time.sleep(60)
"""
TAKEN = r"another driver \(host .*, pid \d+, since .*\) works on the search of sweep 'doktra'.*--sweep"


def holder(location: str) -> subprocess.Popen[str]:
    """A process that has the search."""
    made = subprocess.Popen([sys.executable, "-c", HOLD, location], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "held\n"
    return made


def test_a_second_driver_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with lease.held(storage, "doktra"):
        with pytest.raises(UserError, match=TAKEN), lease.held(storage, "doktra"):
            pass
        with lease.held(storage, "another"):
            pass
    with lease.held(storage, "doktra"):
        pass


def test_a_killed_drivers_search_is_free_at_once(tmp_path: Path) -> None:
    other = holder(str(tmp_path))
    with pytest.raises(UserError, match=TAKEN), lease.held(Storage(str(tmp_path)), "doktra"):
        pass
    other.kill()
    other.wait()
    with lease.held(Storage(str(tmp_path)), "doktra"):
        pass


@pytest.fixture
def remote(at: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setattr(lease, "RENEW", 0.2)
    monkeypatch.setattr(lease, "EXPIRES", 1.5)
    monkeypatch.setattr(lease, "_LOOK", 0.1)
    return Storage(at)


def test_on_an_object_store_a_note_is_renewed_and_taken_away(remote: Storage) -> None:
    with lease.held(remote, "doktra"):
        first = remote.read("studies/doktra.driver")
        time.sleep(0.6)
        assert remote.read("studies/doktra.driver") != first
        with pytest.raises(UserError, match=TAKEN), lease.held(remote, "doktra"):
            pass
    assert remote.read("studies/doktra.driver") is None


def test_a_note_that_nobody_renews_is_waited_out(remote: Storage) -> None:
    remote.write_json("studies/doktra.driver", {"host": "elsewhere", "pid": 1, "since": "then", "renewed": 0.0})
    said: list[str] = []
    begun = time.monotonic()
    with lease.held(remote, "doktra", said.append):
        note = json.loads(remote.read("studies/doktra.driver") or b"{}")
        assert note["pid"] == os.getpid()
    assert time.monotonic() - begun >= 1.5
    assert said == [
        "another driver (host elsewhere, pid 1, since then) had this search: waiting 2 seconds for a sign of life"
    ]


def test_a_dead_process_of_this_machine_is_not_waited_for(remote: Storage) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    remote.write_json("studies/doktra.driver", {**lease._me(), "pid": dead.pid})
    with lease.held(remote, "doktra", pytest.fail):
        pass
