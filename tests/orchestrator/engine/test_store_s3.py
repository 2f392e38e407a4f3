"""The store on an object store: an S3-compatible server on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.engine.store import Store
from tests.contract.file_suite import FileSuite
from tests.contract.store_suite import KEY, StoreSuite, publish
from trainables.errors import UserError

BUCKET = "sweeps"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Host and port of a server with an empty bucket; ends with the module."""
    pytest.importorskip("moto", reason="needs the moto package's S3 server")
    pytest.importorskip("flask", reason="needs flask for moto's S3 server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _make_bucket(f"127.0.0.1:{port}", process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _make_bucket(address: str, process: subprocess.Popen[bytes]) -> None:
    request = urllib.request.Request(f"http://{address}/{BUCKET}", method="PUT")
    for _ in range(600):
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
    raise TimeoutError("the server does not answer")


@pytest.fixture
def at(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A location of its own for each test."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    endpoint = server.replace(":", "%3A")
    return f"s3://{BUCKET}/{uuid.uuid4().hex}?scheme=http&endpoint_override={endpoint}&region=us-east-1"


class TestObjectStore(StoreSuite, FileSuite):
    @pytest.fixture
    def location(self, at: str) -> str:
        return at

    def test_a_bucket_that_is_not_there_is_refused(self, at: str) -> None:
        store = Store(at.replace(BUCKET, "nowhere"))
        with pytest.raises(UserError, match=r"cannot be written.*--storage"):
            store.storage.check_writable()

    def test_weights_are_downloaded_once_per_node(self, store: Store, tmp_path: Path) -> None:
        publish(store)
        folder = store.fetch_model(KEY)
        assert tmp_path in folder.parents
        (folder / "was_here").write_text("not downloaded again")
        assert (Store(store.storage.location).fetch_model(KEY) / "was_here").is_file()

    def test_a_damaged_download_is_replaced_and_the_store_left_alone(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(store)
        folder = store.fetch_model(KEY)
        (folder / "model.safetensors").write_bytes(b"torn")
        again = Store(store.storage.location).fetch_model(KEY)
        assert (again / "model.safetensors").read_bytes() == b"\x07" * 3_000
        assert store.has_model(KEY)
        assert not caplog.records

    def test_a_damaged_copy_of_a_file_is_downloaded_again_and_the_store_left_alone(
        self, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        published = publish(store)
        copy = store.fetch_file(KEY, "predictions.parquet")
        assert tmp_path in copy.parents
        copy.write_bytes(b"torn")
        again = Store(store.storage.location).fetch_file(KEY, "predictions.parquet")
        assert again.read_bytes() == b"\x07" * 3_000
        copy.unlink()
        assert store.fetch_file(KEY, "predictions.parquet").read_bytes() == b"\x07" * 3_000
        assert store.result(KEY) == published
        assert not caplog.records

    def test_an_unfinished_upload_is_invisible(self, store: Store) -> None:
        store.storage.write(f"stages/{KEY}/0123/predictions.parquet", b"half")
        store.storage.write(f"stages/{KEY}/0123/model/model.safetensors", b"half")
        assert store.result(KEY) is None
        assert not store.has_model(KEY)
        assert publish(store) == store.result(KEY)
