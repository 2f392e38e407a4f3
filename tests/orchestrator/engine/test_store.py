"""The store on a local folder."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path

import pytest

from orchestrator.engine.storage import Storage, default_location
from orchestrator.engine.store import Store
from tests.contract.file_suite import FileSuite
from tests.contract.store_suite import KEY, StoreSuite, files, publish
from trainables.errors import UserError


class TestLocalFolder(StoreSuite, FileSuite):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "runs")

    def test_the_layout_is_the_documented_one(self, store: Store) -> None:
        publish(store)
        root = Path(store.root)
        assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == [
            f"stages/{KEY}/model/1_Pooling/config.json",
            f"stages/{KEY}/model/config.json",
            f"stages/{KEY}/model/model.safetensors",
            f"stages/{KEY}/model/weights.json",
            f"stages/{KEY}/predictions.parquet",
            f"stages/{KEY}/result.json",
            f"stages/{KEY}/stage.json",
        ]

    def test_a_file_in_the_place_of_an_entry_is_set_aside(self, store: Store) -> None:
        store.storage.write(f"stages/{KEY}", b"not a folder")
        assert store.result(KEY) is None
        assert publish(store) == store.result(KEY)

    def test_an_entry_that_cannot_be_moved_is_reported_and_left_out(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(store)
        store.storage.write(f"stages/{KEY}/result.json", b"{")
        store.storage.write("set_aside", b"a file is in the way")
        with caplog.at_level(logging.WARNING):
            assert store.result(KEY) is None
        assert "could not be moved" in caplog.text
        with pytest.raises(OSError, match="not empty"):  # and is no endless loop
            publish(store)


class TestFileUri(StoreSuite, FileSuite):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return (tmp_path / "runs").as_uri()


def test_a_relative_location_stays_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("runs")
    monkeypatch.chdir("/")
    travelled = pickle.loads(pickle.dumps(store))
    publish(travelled)
    assert (tmp_path / "runs" / "stages" / KEY / "result.json").is_file()
    assert store.result(KEY) is not None


def test_the_environment_names_the_default_location(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_STORAGE", raising=False)
    assert default_location() == "./runs"
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", "s3://bucket/runs")
    assert default_location() == "s3://bucket/runs"


@pytest.mark.parametrize("location", ["nonsense://a/b", "s3://", "mailto://x"])
def test_an_impossible_uri_is_refused(location: str) -> None:
    with pytest.raises(UserError, match="s3://bucket/prefix"):
        Storage(location)


def test_storage_that_refuses_writes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written.*--storage"):
        Storage(str(tmp_path / "file" / "runs")).check_writable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"cannot be written.*--storage"):
        Storage(str(tmp_path / "runs")).check_writable()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    (tmp_path / "name" / "below").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        storage.write("name", b"content")
    assert storage.names("") == ["name"]


def test_weights_that_are_dropped_while_others_look_are_whole_or_gone(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    publish(store)
    store.drop_model(KEY)
    assert "model.safetensors" not in files(store, KEY)
    assert store.storage.names("tmp") == []
    assert store.storage.names("set_aside") == []


def test_tidy_deletes_old_working_folders_of_finished_stages_only(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish("a" * 32, store.working_folder("a" * 32), {}, {})
    left = {(key, age): store.working_folder(key * 32) for key in "ab" for age in ("old", "new")}
    for (_, age), folder in left.items():
        if age == "old":
            os.utime(folder, (0, 0))
    store.tidy()
    assert [where for where, folder in left.items() if not folder.exists()] == [("a", "old")]
