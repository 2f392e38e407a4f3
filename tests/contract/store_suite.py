"""What every store must do, whatever filesystem it lies on: inherit :class:`StoreSuite` and give a ``location``."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.engine.store import Store
from trainables.errors import CorruptEntry

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
STAGE = {"stage": "tests.noop:Sleep", "name": "a"}
MANIFEST = "weights.json"
ROOT = Path(__file__).parents[2]


def fill(folder: Path, weights: bool = True, size: int = 3_000, fill_with: int = 7) -> None:
    (folder / "predictions.parquet").write_bytes(bytes([fill_with]) * size)
    if weights:
        (folder / "model" / "1_Pooling").mkdir(parents=True)
        (folder / "model" / "1_Pooling" / "config.json").write_text("{}")
        (folder / "model" / "config.json").write_text('{"hidden_size": 64}')
        (folder / "model" / "model.safetensors").write_bytes(bytes([fill_with]) * size)


def publish(store: Store, key: str = KEY, score: float = 0.5, weights: bool = True, size: int = 3_000) -> dict:
    folder = store.working_folder(key)
    fill(folder, weights, size)
    result = {"metrics": {"test/f1": score}, "history": [{"epoch": 1}], "facts": {"steps": 3}}
    published = store.publish(key, folder, STAGE, result)
    assert not folder.exists()
    return published


def publish_elsewhere(location: str, seed: int) -> dict:
    """In another process; which score it writes tells who won."""
    store = Store(location)
    time.sleep(random.Random(seed).random() * 0.05)
    return publish(store, score=seed / 10, size=200_000)


def files(store: Store, key: str) -> dict[str, str]:
    """Names in the storage of an entry's files, by their base names."""
    found = store.storage.filesystem.get_file_info(_everything(store.storage.path(f"stages/{key}")))
    return {info.base_name: info.path.removeprefix(store.root + "/") for info in found if info.is_file}


def _everything(folder: str):
    import pyarrow.fs

    return pyarrow.fs.FileSelector(folder, recursive=True, allow_not_found=True)


def rewrite(file: str, change: Callable[[bytes], bytes]) -> Callable[[Store], None]:
    """A damage: a file's content is replaced."""

    def damage(store: Store) -> None:
        name = files(store, KEY)[file]
        content = store.storage.read(name)
        assert content is not None
        assert change(content) != content
        store.storage.write(name, change(content))

    return damage


def remove(file: str) -> Callable[[Store], None]:
    def damage(store: Store) -> None:
        store.storage.delete(files(store, KEY)[file])

    return damage


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def result_of_another_key(store: Store) -> None:
    publish(store, OTHER)
    content = store.storage.read(files(store, OTHER)["result.json"])
    assert content is not None
    store.storage.write(files(store, KEY)["result.json"], content)


DAMAGED_ENTRIES = {
    "truncated result": rewrite("result.json", lambda content: content[: len(content) // 2]),
    "empty result": rewrite("result.json", lambda content: b""),
    "garbage result": rewrite("result.json", lambda content: b"\xff\x00{"),
    "result that is a list": rewrite("result.json", lambda content: b"[]"),
    "result without its digest": rewrite("result.json", lambda content: b'{"key": "%s"}' % KEY.encode()),
    "result with another score": rewrite("result.json", lambda content: content.replace(b"0.5", b"0.9")),
    "result with a flipped bit": rewrite("result.json", flip),
    "result of another key": result_of_another_key,
    "missing predictions": remove("predictions.parquet"),
    "empty predictions": rewrite("predictions.parquet", lambda content: b""),
    "truncated predictions": rewrite("predictions.parquet", lambda content: content[:-1]),
    "longer predictions": rewrite("predictions.parquet", lambda content: content + b"x"),
}

DAMAGED_WEIGHTS = {
    "flipped bit": rewrite("model.safetensors", flip),
    "truncated weights": rewrite("model.safetensors", lambda content: content[:-1]),
    "empty weights": rewrite("model.safetensors", lambda content: b""),
    "missing weights": remove("model.safetensors"),
    "truncated manifest": rewrite(MANIFEST, lambda content: content[: len(content) // 2]),
    "empty manifest": rewrite(MANIFEST, lambda content: b""),
    "manifest that is no object": rewrite(MANIFEST, lambda content: b"7"),
    "manifest with a flipped bit": rewrite(MANIFEST, flip),
}


class StoreSuite:
    """The contract; a subclass overrides the fixture ``location``."""

    @pytest.fixture
    def location(self) -> str:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    @pytest.fixture
    def store(self, location: str) -> Store:
        return Store(location)

    # --- entries ---------------------------------------------------------------------------------------------

    def test_nothing_is_there_before_anything_is_published(self, store: Store) -> None:
        assert store.result(KEY) is None
        assert store.results([KEY, OTHER]) == {}
        assert store.stage_json(KEY) is None
        assert not store.has_model(KEY)
        assert store.load_checkpoint(KEY) is None
        assert store.failure(KEY) is None
        assert store.sweeps() == {}
        with pytest.raises(KeyError):
            store.predictions(KEY)
        with pytest.raises(CorruptEntry):
            store.fetch_model(KEY)
        store.drop_model(KEY)
        store.drop_checkpoint(KEY)
        store.clear_failure(KEY)

    def test_a_published_entry_is_read_back(self, store: Store, location: str) -> None:
        published = publish(store)
        for reader in (store, Store(location), pickle.loads(pickle.dumps(store))):
            assert reader.result(KEY) == published
            assert reader.results([OTHER, KEY]) == {KEY: published}
            assert reader.stage_json(KEY) == STAGE
            assert reader.has_model(KEY)
        assert published["key"] == KEY
        assert published["metrics"] == {"test/f1": 0.5}
        assert store.predictions(KEY) == b"\x07" * 3_000

    def test_a_result_is_answered_as_it_will_be_read(self, store: Store) -> None:
        folder = store.working_folder(KEY)
        facts = {"sizes": (1, 2), "by_number": {9: "a", 10: "b"}, "none": None, "unicode": "µ"}
        published = store.publish(KEY, folder, STAGE, {"metrics": {}, "facts": facts})
        assert store.result(KEY) == published
        assert published["facts"] == {
            "sizes": [1, 2],
            "by_number": {"9": "a", "10": "b"},
            "none": None,
            "unicode": "µ",
        }

    def test_the_second_publication_changes_nothing(self, store: Store) -> None:
        first = publish(store, score=0.1)
        assert publish(store, score=0.2) == first
        assert store.result(KEY) == first

    def test_weights_come_whole_with_their_folders(self, store: Store) -> None:
        publish(store)
        folder = store.fetch_model(KEY)
        assert (folder / "model.safetensors").read_bytes() == b"\x07" * 3_000
        assert (folder / "config.json").read_text() == '{"hidden_size": 64}'
        assert (folder / "1_Pooling" / "config.json").read_text() == "{}"

    def test_an_entry_without_weights(self, store: Store) -> None:
        published = publish(store, weights=False)
        assert store.result(KEY) == published
        assert not store.has_model(KEY)
        with pytest.raises(CorruptEntry, match=f"{KEY}: its weights are missing"):
            store.fetch_model(KEY)

    @pytest.mark.parametrize("dropped", [False, True])
    def test_weights_are_added_to_a_finished_entry(self, store: Store, dropped: bool) -> None:
        first = publish(store, score=0.1, weights=dropped)
        if dropped:
            store.drop_model(KEY)
        assert not store.has_model(KEY)
        assert publish(store, score=0.2, weights=True) == first
        assert (store.fetch_model(KEY) / "model.safetensors").read_bytes() == b"\x07" * 3_000

    def test_dropped_weights_are_gone_and_the_rest_stays(self, store: Store) -> None:
        published = publish(store)
        store.fetch_model(KEY)
        store.drop_model(KEY)
        assert not store.has_model(KEY)
        assert store.result(KEY) == published
        assert "model.safetensors" not in files(store, KEY)
        assert set(files(store, KEY)) == {"result.json", "stage.json", "predictions.parquet"}

    # --- damage ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("damage", DAMAGED_ENTRIES.values(), ids=DAMAGED_ENTRIES.keys())
    def test_a_damaged_entry_is_set_aside_and_made_again(
        self, store: Store, location: str, damage: Callable[[Store], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(store)
        damage(store)
        with caplog.at_level(logging.WARNING):
            assert Store(location).result(KEY) is None
        assert [KEY in record.getMessage() for record in caplog.records] == [True]
        assert any(KEY in name for name in store.storage.names("set_aside"))
        caplog.clear()
        assert store.results([KEY]) == {}  # and again, without another warning
        assert not caplog.records
        again = publish(store, score=0.7)
        assert again["metrics"] == {"test/f1": 0.7}
        assert Store(location).result(KEY) == again
        assert (store.fetch_model(KEY) / "model.safetensors").read_bytes() == b"\x07" * 3_000

    @pytest.mark.parametrize("damage", DAMAGED_ENTRIES.values(), ids=DAMAGED_ENTRIES.keys())
    def test_a_damaged_entry_does_not_stop_publication(self, store: Store, damage: Callable[[Store], None]) -> None:
        publish(store)
        damage(store)
        assert publish(store, score=0.7)["metrics"] == {"test/f1": 0.7}
        assert store.result(KEY) is not None

    @pytest.mark.parametrize("damage", DAMAGED_WEIGHTS.values(), ids=DAMAGED_WEIGHTS.keys())
    @pytest.mark.parametrize("fetched_before", [False, True])
    def test_damaged_weights_are_set_aside_and_given_back(
        self,
        store: Store,
        damage: Callable[[Store], None],
        fetched_before: bool,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        published = publish(store)
        reader = store if fetched_before else Store(store.storage.location)
        if fetched_before and store.storage.local:
            reader.fetch_model(KEY)
            time.sleep(0.01)  # past the clock tick of the file's time
        damage(store)
        with caplog.at_level(logging.WARNING), pytest.raises(CorruptEntry) as caught:
            reader.fetch_model(KEY)
        assert caught.value.key == KEY
        assert pickle.loads(pickle.dumps(caught.value)).key == KEY
        assert any(KEY in record.getMessage() for record in caplog.records)
        assert not store.has_model(KEY)
        assert store.result(KEY) == published, "results outlive their weights"
        assert publish(store) == published
        assert (store.fetch_model(KEY) / "model.safetensors").read_bytes() == b"\x07" * 3_000

    def test_weights_without_their_manifest_are_missing(self, store: Store) -> None:
        publish(store)
        remove(MANIFEST)(store)
        assert not store.has_model(KEY)
        publish(store)
        assert (store.fetch_model(KEY) / "config.json").is_file()

    def test_an_entry_without_result_is_missing_and_can_be_published(self, store: Store) -> None:
        publish(store, score=0.1)
        remove("result.json")(store)
        assert store.result(KEY) is None
        again = publish(store, score=0.2)
        assert again["metrics"] == {"test/f1": 0.2}
        assert store.result(KEY) == again

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xff"])
    def test_other_unreadable_files_are_set_aside(
        self, store: Store, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        published = publish(store)
        store.write_failure(KEY, "failed", "x")
        store.write_sweep("grid", [{"seed": 0}])
        store.save_checkpoint(KEY, b"state" * 20)
        (manifest,) = store.storage.names("sweeps/grid")
        for name in (
            f"stages/{KEY}/stage.json",
            f"failures/{KEY}.json",
            f"sweeps/grid/{manifest}",
            f"checkpoints/{KEY}.pt",
        ):
            store.storage.write(name, content)
        with caplog.at_level(logging.WARNING):
            assert store.stage_json(KEY) is None
            assert store.failure(KEY) is None
            assert store.sweeps() == {}
            assert store.load_checkpoint(KEY) is None
        assert len(caplog.records) == 4
        assert len(store.storage.names("set_aside")) == 4
        assert store.result(KEY) == published
        store.write_sweep("grid", [{"seed": 0}])
        assert store.sweeps() == {"grid": [{"seed": 0}]}

    # --- what is under way -----------------------------------------------------------------------------------

    def test_checkpoints_are_replaced_and_dropped(self, store: Store) -> None:
        for content in (b"one", b"", b"three" * 50_000):
            store.save_checkpoint(KEY, content)
            assert store.load_checkpoint(KEY) == content
        assert store.load_checkpoint(OTHER) is None
        store.drop_checkpoint(KEY)
        assert store.load_checkpoint(KEY) is None

    def test_a_checkpoint_with_a_flipped_bit_is_missing(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        store.save_checkpoint(KEY, b"state" * 100)
        content = store.storage.read(f"checkpoints/{KEY}.pt")
        assert content is not None
        store.storage.write(f"checkpoints/{KEY}.pt", flip(content))
        assert store.load_checkpoint(KEY) is None
        assert KEY in caplog.text

    def test_damaged_predictions_are_set_aside_when_they_are_read(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        published = publish(store)
        path = f"stages/{KEY}/{published['files']['predictions.parquet']['path']}"
        store.storage.write(path, b"\x08" * 3_000)
        with pytest.raises(CorruptEntry, match="predictions"):
            store.predictions(KEY)
        assert store.result(KEY) is None
        assert "set aside" in caplog.text

    def test_a_request_to_stop_is_seen_by_the_workers_of_that_run_only(self, store: Store, location: str) -> None:
        store.request_stop("one")
        worker = Store(location)
        assert worker.stop_requested("one")
        assert not Store(location).stop_requested("other")
        store.clear_stop("one")
        assert not Store(location).stop_requested("one")

    def test_failures_are_noted_and_cleared(self, store: Store) -> None:
        store.write_failure(KEY, "failed", "no such file")
        store.write_failure(KEY, "blocked", "by another")
        noted = store.failure(KEY)
        assert noted is not None
        assert (noted["status"], noted["error"]) == ("blocked", "by another")
        store.clear_failure(KEY)
        assert store.failure(KEY) is None

    def test_sweeps_are_remembered_over_all_their_starts(self, store: Store) -> None:
        one, two = {"task": "ddi", "seed": 0}, {"task": "ddi", "seed": 1}
        store.write_sweep("grid", [one])
        store.write_sweep("grid", [one])
        store.write_sweep("grid", [one, two])
        store.write_sweep("other", [two])
        assert len(store.storage.names("sweeps/grid")) == 2
        found = store.sweeps()
        assert sorted(recipe["seed"] for recipe in found["grid"]) == [0, 0, 1]
        assert found["other"] == [two]

    def test_storage_that_takes_writes_passes_the_check(self, store: Store) -> None:
        store.storage.check_writable()
        assert store.storage.names("tmp") == []

    # --- several writers -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("before", ["nothing", "torn entry", "entry without weights"])
    def test_threads_publishing_the_same_key_leave_one_whole_entry(
        self, store: Store, location: str, before: str
    ) -> None:
        if before != "nothing":
            publish(store, score=0.9, weights=before == "torn entry")
        if before == "torn entry":
            remove("predictions.parquet")(store)
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda seed: publish_elsewhere(location, seed), range(6)))
        self._is_whole(Store(location), answers, size=3_000 if before == "entry without weights" else 200_000)

    def test_processes_publishing_the_same_key_leave_one_whole_entry(self, location: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(3) as pool:
            answers = pool.starmap(publish_elsewhere, [(location, seed) for seed in range(6)], chunksize=1)
        self._is_whole(Store(location), answers, size=200_000)

    def _is_whole(self, store: Store, answers: list[dict], size: int) -> None:
        standing = store.result(KEY)
        assert standing in answers
        assert store.predictions(KEY) == b"\x07" * size
        assert (store.fetch_model(KEY) / "model.safetensors").read_bytes() == b"\x07" * 200_000
        if store.storage.local:
            assert store.storage.names("tmp") == []
            assert store.storage.names("stages") == [KEY]

    def test_a_publisher_that_is_killed_leaves_nothing_or_a_whole_entry(
        self, location: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        chance = random.Random(1)
        for attempt in range(4):
            code = f"from tests.contract import store_suite; store_suite.publish_forever({location!r}, {attempt})"
            process = subprocess.Popen(
                [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
            )
            assert process.stdout is not None
            process.stdout.readline()  # it is under way
            time.sleep(chance.random() * 0.2)
            process.send_signal(signal.SIGKILL)
            told = process.stdout.read().decode().split()
            process.wait()
            store = Store(location)
            with caplog.at_level(logging.WARNING):
                found = store.results(store.storage.names("stages"))
                assert set(told) <= set(found), "what was reported as published is there"
                for key in found:
                    assert (store.fetch_model(key) / "model.safetensors").stat().st_size == 400_000
            assert not caplog.records, "nothing that is visible is torn"
            unfinished = set(store.storage.names("stages")) - set(found)
            for key in unfinished:
                assert publish(store, key, size=400_000) == store.result(key)


def publish_forever(location: str, attempt: int) -> None:
    """Publishes one key after the other and prints each when it is done."""
    store = Store(location)
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    number = 0
    while True:
        key = f"{attempt:016x}{number:016x}"
        publish(store, key, size=400_000)
        sys.stdout.write(f"{key}\n")
        sys.stdout.flush()
        number += 1
