"""The journal of Optuna's studies: torn, damaged, locked by the dead, and on an object store."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from orchestrator.engine.storage import Storage
from orchestrator.search import storage as module
from orchestrator.search.storage import Journal
from tests.orchestrator.engine.test_store_s3 import at, server
from trainables.errors import UserError

__all__ = ["at", "server"]  # fixtures

SWEEP = "doktra"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _own_cache_and_short_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "STALE_LOCK", 3)


def journal(tmp_path: Path) -> Journal:
    return Journal(Storage(str(tmp_path / "runs")), SWEEP)


def study(of: Journal) -> optuna.Study:
    return optuna.create_study(storage=of.open(), study_name="joint", direction="maximize", load_if_exists=True)


def fill(of: Journal, trials: int = 3) -> list[float]:
    """Adds complete trials; returns all values."""
    opened = study(of)
    for _ in range(trials):
        trial = opened.ask()
        trial.suggest_float("x", 0.0, 1.0)
        opened.tell(trial, float(trial.number))
    return values(of)


def values(of: Journal) -> list[float]:
    return [trial.values[0] for trial in study(of).get_trials(states=(optuna.trial.TrialState.COMPLETE,))]


def outdated(of: Journal) -> list[Path]:
    return sorted(of.path.parent.glob("*.outdated"))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is uploaded from now on."""
    uploads: list[str] = []
    real = Storage.upload

    def upload(self: Storage, source: Path, name: str) -> None:
        uploads.append(name)
        real(self, source, name)

    monkeypatch.setattr(Storage, "upload", upload)
    return uploads


def refuse(self: Storage, source: Path, name: str) -> None:
    raise OSError("no route to host")


def aside(of: Journal) -> list[Path]:
    return sorted(of.path.parent.glob("*.damaged"))


def test_it_lies_beside_the_leaderboard_and_opens_again(tmp_path: Path) -> None:
    assert fill(journal(tmp_path)) == [0.0, 1.0, 2.0]
    assert journal(tmp_path).path == tmp_path / "runs" / "studies" / "doktra.journal"
    assert values(journal(tmp_path)) == [0.0, 1.0, 2.0]
    assert aside(journal(tmp_path)) == []


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    path = journal(tmp_path).path
    path.parent.mkdir(parents=True)
    path.touch()
    assert fill(journal(tmp_path)) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("left", [1, 10, -1])
def test_a_torn_last_line_is_left_out_and_the_rest_goes_on(
    tmp_path: Path, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    fill(journal(tmp_path))
    path = journal(tmp_path).path
    lines = path.read_bytes().splitlines(keepends=True)
    while b'"op_code":6' not in lines[-1]:  # the end of a trial
        lines.pop()
    last = lines.pop()
    path.write_bytes(b"".join(lines) + last[:left])
    with caplog.at_level(logging.WARNING):
        assert values(journal(tmp_path)) == [0.0, 1.0]  # what was lost is the end of the last trial
    assert "the unfinished last line" in caplog.text
    assert [file.read_bytes() for file in aside(journal(tmp_path))] == [b"".join(lines) + last[:left]]
    (running,) = study(journal(tmp_path)).get_trials(states=(optuna.trial.TrialState.RUNNING,))
    study(journal(tmp_path)).tell(running.number, 2.0)
    assert values(journal(tmp_path)) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("garbage", [b"\x00" * 100 + b"\n", b"{]\n", b"\xff\xfe\n", b"\n", b"7\n", b"[]\n", b"null\n"])
def test_damage_in_the_middle_is_refused_since_trials_are_numbered_by_lines(tmp_path: Path, garbage: bytes) -> None:
    fill(journal(tmp_path))
    path = journal(tmp_path).path
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:4], garbage, *lines[5:]])
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"doktra\.journal, is damaged: line 5 of .*another --sweep"):
        journal(tmp_path).open()
    assert path.read_bytes() == damaged
    assert aside(journal(tmp_path)) == []


@pytest.mark.parametrize(
    "entry", [b'{"op_code": 99, "worker_id": "x"}\n', b"{}\n", b'{"op_code": 6, "trial_id": 77}\n']
)
def test_an_entry_that_optuna_cannot_read_is_refused(tmp_path: Path, entry: bytes) -> None:
    fill(journal(tmp_path))
    with journal(tmp_path).path.open("ab") as file:
        file.write(entry)
    with pytest.raises(UserError, match="is damaged: Optuna cannot read it"):
        journal(tmp_path).open()


def test_whoever_only_reads_needs_no_right_to_write(tmp_path: Path) -> None:
    fill(journal(tmp_path))
    path = journal(tmp_path).path
    with path.open("ab") as file:
        file.write(b'{"op_')
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    reader = Journal(Storage(str(tmp_path / "runs")), SWEEP, only_read=True)
    assert values(reader) == [0.0, 1.0, 2.0]
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_lock_that_a_killed_driver_left_is_overcome(tmp_path: Path) -> None:
    fill(journal(tmp_path))
    path = journal(tmp_path).path
    lock = path.with_name(path.name + ".lock")
    lock.symlink_to(path)
    assert values(journal(tmp_path)) == [0.0, 1.0, 2.0]
    assert not lock.is_symlink()


def test_a_lock_that_a_driver_left_that_was_killed_before_anything_was_written_is_overcome(tmp_path: Path) -> None:
    path = journal(tmp_path).path
    path.parent.mkdir(parents=True)
    path.with_name(path.name + ".lock").symlink_to(path)
    assert fill(journal(tmp_path)) == [0.0, 1.0, 2.0]


def test_a_lock_in_a_storage_that_was_moved_is_overcome(tmp_path: Path) -> None:
    fill(journal(tmp_path))
    path = journal(tmp_path).path
    path.with_name(path.name + ".lock").symlink_to(tmp_path / "elsewhere" / path.name)
    assert values(journal(tmp_path)) == [0.0, 1.0, 2.0]


def test_a_process_that_is_killed_while_it_writes_leaves_a_journal_that_opens(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from tests.orchestrator.search.test_storage import fill, journal
while True:
    print(fill(journal(Path({str(tmp_path)!r})), 5)[-1], flush=True)
"""
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        process.kill()
        told = [float(line) for line in process.stdout.read().split()]
        process.wait()
        assert set(told) <= set(values(journal(tmp_path)))


def test_in_a_folder_there_is_nothing_to_bring_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "upload", refuse)
    one = journal(tmp_path)
    fill(one)
    one.save()
    one.save(lazily=True)
    one.flush()


class TestOnAnObjectStore:
    def test_it_is_worked_on_in_the_cache_and_brought_to_the_store(self, at: str, tmp_path: Path) -> None:
        one = Journal(Storage(at), SWEEP)
        fill(one)
        assert one.path.is_relative_to(tmp_path / "cache")
        assert Storage(at).read("studies/doktra.journal") is None
        one.save()
        assert Storage(at).read("studies/doktra.journal") == one.path.read_bytes()

    def test_whoever_only_reads_leaves_the_drivers_copy_alone(self, at: str) -> None:
        one = Journal(Storage(at), SWEEP)
        fill(one)
        assert not Journal(Storage(at), SWEEP, only_read=True).path.exists(), "nothing is stored yet"
        assert values(one) == [0.0, 1.0, 2.0]
        one.save()
        fill(one, trials=1)
        reader = Journal(Storage(at), SWEEP, only_read=True)
        assert values(reader) == [0.0, 1.0, 2.0]
        fill(reader, trials=2)
        reader.save()
        assert values(one) == [0.0, 1.0, 2.0, 3.0]
        assert values(Journal(Storage(at), SWEEP, only_read=True)) == [0.0, 1.0, 2.0]

    def test_it_survives_the_loss_of_the_cache(self, at: str, tmp_path: Path) -> None:
        one = Journal(Storage(at), SWEEP)
        fill(one)
        one.save()
        shutil.rmtree(tmp_path / "cache")
        again = Journal(Storage(at), SWEEP)
        assert values(again) == [0.0, 1.0, 2.0]
        fill(again, trials=1)
        again.save()
        shutil.rmtree(tmp_path / "cache")
        assert values(Journal(Storage(at), SWEEP)) == [0.0, 1.0, 2.0, 3.0]

    def test_what_was_not_brought_there_yet_is_found_in_the_cache(self, at: str) -> None:
        one = Journal(Storage(at), SWEEP)
        fill(one)
        one.save()
        fill(one, trials=1)
        assert values(Journal(Storage(at), SWEEP)) == [0.0, 1.0, 2.0, 3.0]

    def test_another_machine_that_went_further_is_followed(
        self, at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        here = Journal(Storage(at), SWEEP)
        fill(here)
        here.save()
        with monkeypatch.context() as there:
            there.setenv("XDG_CACHE_HOME", str(tmp_path / "other machine"))
            other = Journal(Storage(at), SWEEP)
            fill(other, trials=2)
            other.save()
        assert values(Journal(Storage(at), SWEEP)) == [0.0, 1.0, 2.0, 3.0, 4.0]

    def test_a_copy_that_another_machine_went_on_without_is_set_aside(
        self, at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        here = Journal(Storage(at), SWEEP)
        fill(here)
        here.save()
        fill(here, trials=5)  # and is killed before they are saved
        lost = here.path.read_bytes()
        with monkeypatch.context() as there:
            there.setenv("XDG_CACHE_HOME", str(tmp_path / "other machine"))
            other = Journal(Storage(at), SWEEP)
            fill(other, trials=1)
            other.save()
        assert len(lost) > other.path.stat().st_size, "else this tests nothing"
        assert [file.read_bytes() for file in outdated(here)] == []
        with caplog.at_level(logging.WARNING):
            again = Journal(Storage(at), SWEEP)
        assert values(again) == [0.0, 1.0, 2.0, 3.0]
        again.save()
        assert Storage(at).read("studies/doktra.journal") == again.path.read_bytes()
        assert [file.read_bytes() for file in outdated(again)] == [lost]
        assert str(outdated(again)[0]) in caplog.text

    def test_a_store_that_was_emptied_begins_afresh(self, at: str, caplog: pytest.LogCaptureFixture) -> None:
        here = Journal(Storage(at), SWEEP)
        fill(here)
        here.save()
        before = here.path.read_bytes()
        Storage(at).delete("studies")
        with caplog.at_level(logging.WARNING):
            again = Journal(Storage(at), SWEEP)
        assert not again.path.exists(), "there is no search to report on"
        assert values(again) == []
        assert [file.read_bytes() for file in outdated(again)] == [before]
        assert str(outdated(again)[0]) in caplog.text

    def test_a_copy_that_is_behind_is_not_worth_keeping(
        self, at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.test_another_machine_that_went_further_is_followed(at, monkeypatch, tmp_path)
        assert outdated(Journal(Storage(at), SWEEP)) == []
        assert "another journal" not in caplog.text

    def test_what_has_not_changed_is_not_brought_there_again(self, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
        uploads = counted(monkeypatch)
        one = Journal(Storage(at), SWEEP)
        one.save()
        one.flush()
        assert uploads == [], "there is no journal yet"
        fill(one)
        for _ in range(3):
            one.save()
        one.flush()
        assert len(uploads) == 1
        again = Journal(Storage(at), SWEEP)
        again.open()
        again.save()
        assert len(uploads) == 1
        fill(again, trials=1)
        again.save()
        assert len(uploads) == 2

    def test_lazily_it_is_brought_there_now_and_then(self, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
        uploads, now = counted(monkeypatch), [1_000.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        one = Journal(Storage(at), SWEEP)
        fill(one)
        one.save(lazily=True)
        assert len(uploads) == 1
        fill(one, trials=1)
        now[0] += module.UPLOAD_INTERVAL - 1
        one.save(lazily=True)
        assert len(uploads) == 1
        now[0] += 1
        one.save(lazily=True)
        assert len(uploads) == 2
        fill(one, trials=1)
        one.save()
        assert len(uploads) == 3
        fill(one, trials=1)
        one.save(lazily=True)
        assert len(uploads) == 3
        one.flush()
        assert Storage(at).read("studies/doktra.journal") == one.path.read_bytes()

    def test_a_storage_that_is_away_for_a_while_does_not_end_the_search(
        self, at: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = Journal(Storage(at), SWEEP)
        fill(one)
        for outage in (1, 2):
            with monkeypatch.context() as away, caplog.at_level(logging.WARNING):
                away.setattr(Storage, "upload", refuse)
                for _ in range(3):
                    one.save()
                    one.save(lazily=True)
                with pytest.raises(
                    OSError, match=r"doktra\.journal could not be brought to .*: no route.*run the same"
                ):
                    one.flush()
            assert caplog.text.count("cannot be brought to") == outage, "once per outage"
            one.save()
            assert Storage(at).read("studies/doktra.journal") == one.path.read_bytes()
            one.flush()
            fill(one, trials=1)

    def test_two_stores_have_journals_of_their_own(self, at: str) -> None:
        fill(Journal(Storage(at), SWEEP))
        other = at.replace("?", "-other?")
        assert Journal(Storage(other), SWEEP).path != Journal(Storage(at), SWEEP).path
        assert values(Journal(Storage(other), SWEEP)) == []
