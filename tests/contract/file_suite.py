"""What every store must do with single files of an entry, such as a teacher's outputs: inherit :class:`FileSuite`."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable

import pytest

from orchestrator.engine.schedule import Node, Schedule
from orchestrator.engine.store import Store
from tests.contract.store_suite import DAMAGED_ENTRIES, KEY, OTHER, STAGE, files, publish, rewrite
from tests.noop import Notes, Reader, Sleep
from trainables.errors import CorruptEntry
from trainables.execution import Execution, Job

#: One flipped bit leaves the size as it is, so that only reading tells.
DAMAGED_FILES = {name: damage for name, damage in DAMAGED_ENTRIES.items() if name.endswith("predictions")} | {
    "predictions with a flipped bit": rewrite("predictions.parquet", lambda content: b"\x08" + content[1:]),
}


def train(schedule: Schedule, node: Node | None, store: Store) -> None:
    """Runs a stage as a worker does, and tells the schedule."""
    assert node is not None
    execution = Execution(Job.of(node.stage, keep_model=node.want_model), store)
    while execution.advance(60) is not None:
        pass
    assert execution.result is not None
    schedule.finished(node.key, execution.result)


class FileSuite:
    """The contract; to be inherited beside :class:`~tests.contract.store_suite.StoreSuite`, which has the fixtures."""

    def test_a_file_comes_by_its_name(self, store: Store, location: str) -> None:
        publish(store)
        publish(store, OTHER, size=5)
        for reader in (store, Store(location), pickle.loads(pickle.dumps(store))):
            for _ in range(2):
                assert reader.fetch_file(KEY, "predictions.parquet").read_bytes() == b"\x07" * 3_000
                assert reader.fetch_file(OTHER, "predictions.parquet").read_bytes() == b"\x07" * 5

    def test_a_folder_comes_by_its_name(self, store: Store, location: str) -> None:
        """All of its files in one place, as a tokenizer's have to be, and no others."""
        folder = store.working_folder(KEY)
        (folder / "tokenizer").mkdir()
        content = {"vocab.txt": b"a\n", "tokenizer.json": b"{}"}
        for name, text in content.items():
            (folder / "tokenizer" / name).write_bytes(text)
        (folder / "tokenizer.txt").write_bytes(b"beside it")
        store.publish(KEY, folder, STAGE, {"metrics": {}, "history": [], "facts": {}})
        for reader in (store, Store(location)):
            for _ in range(2):
                found = reader.fetch_folder(KEY, "tokenizer")
                assert {path.name: path.read_bytes() for path in found.iterdir()} == content
        with pytest.raises(CorruptEntry, match="missing or differs"):
            store.fetch_folder(KEY, "token")
        assert store.result(KEY) is None

    def test_a_file_outlives_the_weights_of_its_entry(self, store: Store) -> None:
        publish(store)
        store.drop_model(KEY)
        assert store.fetch_file(KEY, "predictions.parquet").stat().st_size == 3_000

    @pytest.mark.parametrize("name", ["outputs.parquet", "model/config.json", "../result.json"])
    def test_a_file_that_an_entry_does_not_have_makes_it_be_made_again(self, store: Store, name: str) -> None:
        publish(store)
        with pytest.raises(CorruptEntry, match="missing or differs") as caught:
            store.fetch_file(KEY, name)
        assert caught.value.key == KEY
        assert store.result(KEY) is None
        publish(store)
        assert store.fetch_file(KEY, "predictions.parquet").is_file()

    def test_a_file_of_an_entry_that_is_not_there_is_missing(self, store: Store) -> None:
        with pytest.raises(CorruptEntry) as caught:
            store.fetch_file(KEY, "predictions.parquet")
        assert caught.value.key == KEY
        assert store.result(KEY) is None

    @pytest.mark.parametrize("damage", DAMAGED_FILES.values(), ids=DAMAGED_FILES.keys())
    @pytest.mark.parametrize("fetched_before", [False, True])
    def test_a_damaged_file_has_its_entry_set_aside_and_made_again(
        self,
        store: Store,
        damage: Callable[[Store], None],
        fetched_before: bool,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        publish(store)
        reader = store if fetched_before and store.storage.local else Store(store.storage.location)
        if fetched_before and store.storage.local:
            reader.fetch_file(KEY, "predictions.parquet")
            time.sleep(0.01)  # past the clock tick of the file's time
        damage(store)
        with caplog.at_level(logging.WARNING), pytest.raises(CorruptEntry) as caught:
            reader.fetch_file(KEY, "predictions.parquet")
        assert caught.value.key == KEY
        assert any(KEY in record.getMessage() for record in caplog.records)
        assert store.result(KEY) is None
        assert any(KEY in name for name in store.storage.names("set_aside"))
        again = publish(store, score=0.7)
        assert store.result(KEY) == again
        assert reader.fetch_file(KEY, "predictions.parquet").read_bytes() == b"\x07" * 3_000

    def test_a_damaged_file_is_made_again_through_the_schedule(self, store: Store) -> None:
        base = Sleep("base")
        notes = Notes("notes", base)
        reader = Reader("reader", notes)
        schedule = Schedule([reader], store)
        for _ in (base, notes):
            train(schedule, schedule.next(), store)
        store.storage.write(files(store, notes.key)["notes.txt"], b"BASE")  # as long as it should be
        node = schedule.next()
        with pytest.raises(CorruptEntry) as caught:
            train(schedule, node, store)
        assert schedule.retry_after_remaking(reader.key, caught.value.key)
        again = []
        while (node := schedule.next()) is not None:
            again.append(node.stage)
            train(schedule, node, store)
        assert again == [notes, reader]
        assert schedule.done
        found = store.result(reader.key)
        assert found is not None
        assert found["facts"] == {"read": "base"}
