"""The store: finished stages as folders named by their keys, and the checkpoints of those under way.

    stages/<key>/stage.json           the expression, readable
    stages/<key>/result.json          metrics, history, cost; its valid presence alone means finished
    stages/<key>/predictions.parquet
    stages/<key>/model/               ordinary save_pretrained layout
    stages/<key>/model/weights.json   which files are the weights; its valid presence alone means they are there
    checkpoints/<key>.pt              the last state of a stage under way
    failures/<key>.json               why a stage last failed
    sweeps/<name>/<hash>.json         which expressions a sweep asked for, and their labels
    leaderboard/<row key>.parquet     made from all of the above
    set_aside/                        entries that could not be read

On a local filesystem an entry, or weights that are given back to one, are made in ``tmp/`` and renamed. An object
store has no rename, so files go to a folder of their own per attempt, and ``result.json`` and ``weights.json`` (which
lies beside it there), written last, name them: writers of the same key never touch each other's files, and whichever
comes last is whole.

A worker is handed a ``Store`` and knows it only as the protocol :class:`trainables.execution.Store`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.engine import seals
from orchestrator.engine.seals import Manifest
from orchestrator.engine.storage import Storage, default_location
from trainables.errors import CorruptEntry

if TYPE_CHECKING:
    import pyarrow.fs

__all__ = ["Store", "default_location"]

FORMAT = 1
ABANDONED = 86_400.0  # seconds
REMOTE_POLL = 10.0  # seconds between questions to an object store, which charges for each
_DIGEST = hashlib.sha256().digest_size
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Store:
    """Finished stages by key, on any filesystem.

    Args:
        location: A folder or URI; see :class:`~orchestrator.engine.storage.Storage`.
    """

    def __init__(self, location: str) -> None:
        self.storage = Storage(location)
        self._verified: set[tuple[str, str, int]] = set()
        self._asked: dict[str, float] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.storage.__reduce__()[1][0],)

    @property
    def filesystem(self) -> pyarrow.fs.FileSystem:
        """The pyarrow filesystem that the store lies on."""
        return self.storage.filesystem

    @property
    def root(self) -> str:
        """The store's root folder in :attr:`filesystem`."""
        return self.storage.root

    # --- reading ---------------------------------------------------------------------------------------------

    def result(self, key: str) -> dict[str, Any] | None:
        """A finished stage's ``result.json``, or None; an unreadable entry is set aside and so counts as missing."""

        def check(content: bytes) -> dict[str, Any]:
            result = seals.opened(content)
            if result.get("key") != key:
                raise ValueError(f"it is of key {result.get('key')}")
            self._check_sizes(key, result.get("files", {}))
            return result

        return self._sound(f"stages/{key}/result.json", check, f"stages/{key}")

    def results(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """:meth:`result` of many keys at once; only the finished ones are in the answer."""
        wanted = list(keys)
        # An object store answers a request in tens of milliseconds; on a local disk more threads gain nothing.
        with ThreadPoolExecutor(1 if self.storage.local else 32) as pool:
            found = pool.map(self.result, wanted)
            return {key: result for key, result in zip(wanted, found, strict=True) if result is not None}

    def stage_json(self, key: str) -> dict[str, Any] | None:
        """A finished stage's expression; :func:`trainables.expression.from_json` reads it back."""
        return self._sound(f"stages/{key}/stage.json", seals.parsed)

    def predictions(self, key: str) -> bytes:
        """A finished stage's predictions, as the content of a Parquet file.

        Raises:
            KeyError: Where the stage is not finished or has none.
            CorruptEntry: Where they differ from what was written; the entry is set aside and so made again.
        """
        result = self.result(key)
        if result is None:
            raise KeyError(key)
        entry = result["files"]["predictions.parquet"]
        content = self.storage.read(f"stages/{key}/{entry['path']}")
        if content is None or hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise self._corrupt(key, "predictions.parquet")
        return content

    def fetch_file(self, key: str, name: str) -> Path:
        """A local copy of a file of a finished entry other than its weights, downloaded and checked if need be.

        Raises:
            CorruptEntry: Where the stage is not finished any more, has no such file, or it differs from what was
                written; the entry is set aside and so made again.
        """
        return self._fetch(key, name, lambda file: file == name)

    def fetch_folder(self, key: str, name: str) -> Path:
        """A local copy of a folder of a finished entry other than its weights, downloaded and checked if need be.

        Raises:
            CorruptEntry: As :meth:`fetch_file`, where there is no file in such a folder.
        """
        return self._fetch(key, name, lambda file: file.startswith(f"{name}/"))

    def _fetch(self, key: str, name: str, wanted: Callable[[str], bool]) -> Path:
        files = (self.result(key) or {}).get("files", {})
        manifest = {file: entry for file, entry in files.items() if wanted(file)}
        if not manifest:
            raise self._corrupt(key, name)
        for _ in range(2):
            folder = Path(self.storage.path(f"stages/{key}")) if self.storage.local else self._cached(key, manifest)
            if self._differing(manifest, folder) is None:
                return folder / name
            if self.storage.local:
                break
            shutil.rmtree(folder, ignore_errors=True)  # the copy on this node may be what is damaged
        raise self._corrupt(key, name)

    def has_model(self, key: str) -> bool:
        """Whether a finished stage's weights are kept; torn ones are set aside."""
        return self._weights(key) is not None

    def fetch_model(self, key: str) -> Path:
        """A local folder with a finished stage's weights, downloaded and checked if need be.

        Raises:
            CorruptEntry: Where the weights are missing or differ from what was written; they are set aside.
        """
        manifest = self._weights(key)
        if manifest is None:
            raise CorruptEntry(key, "its weights are missing")
        folder = self._local_folder(key, manifest)
        differing = self._differing(manifest, folder)
        if differing is not None and not self.storage.local:  # the copy on this node may be what is damaged
            shutil.rmtree(folder, ignore_errors=True)
            folder = self._local_folder(key, manifest)
            differing = self._differing(manifest, folder)
        if differing is not None:
            why = f"{differing} differs from what was written"
            if self._weights(key) == manifest:  # else another process has replaced or dropped them meanwhile
                self._set_aside_weights(key, manifest, why)
            raise CorruptEntry(key, why)
        return folder

    # --- writing ---------------------------------------------------------------------------------------------

    def working_folder(self, key: str) -> Path:
        """A new empty folder to make an entry in; :meth:`publish` moves or uploads it."""
        if not self.storage.local:
            return Path(tempfile.mkdtemp(prefix=f"stage-{key[:8]}-"))
        folder = Path(self.storage.path(f"tmp/{key}-{uuid.uuid4().hex}"))
        folder.mkdir(parents=True)
        return folder

    def publish(self, key: str, folder: Path, stage: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Makes a working folder a finished entry; where the key is finished already, that entry stays.

        Args:
            key: The stage's key.
            folder: From :meth:`working_folder`, with the stage's files; it is gone afterwards.
            stage: The expression's JSON form.
            result: All of ``result.json`` but what this method adds (format, key, files, digest).

        Returns:
            The ``result.json`` that now stands.
        """
        attempt = "" if self.storage.local else uuid.uuid4().hex[:12]
        files = seals.manifest(folder, attempt)
        weights = {name: entry for name, entry in files.items() if name.startswith("model/")}
        others = {name: entry for name, entry in files.items() if name not in weights}
        whole = seals.as_read({**result, "format": FORMAT, "key": key, "files": others})
        try:
            earlier = self.result(key)
            if earlier is None:
                if self.storage.local:
                    earlier = self._publish_by_rename(key, folder, stage, whole, weights)
                else:
                    self._publish_by_upload(key, folder, stage, whole, {**others, **weights}, weights)
            if earlier is not None and weights and not self.has_model(key):
                self._add_weights(key, folder, weights)
            return earlier or whole
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def drop_model(self, key: str) -> None:
        """Deletes a finished stage's weights; its results and predictions stay."""
        if self.storage.local:
            self._discard(f"stages/{key}/model")
            return
        manifest = self._weights(key) or {}
        self.storage.delete(self._weights_json(key))  # first: from here on they count as dropped
        for folder in seals.model_folders(manifest):
            self.storage.delete(f"stages/{key}/{folder}")

    def tidy(self) -> None:
        """Deletes what killed processes left: working folders of finished stages and requests to stop, a day old."""
        if not self.storage.local:
            return  # there a working folder is a temporary one of the worker's machine
        for name in self.storage.names("tmp"):
            folder = Path(self.storage.path(f"tmp/{name}"))
            with contextlib.suppress(OSError):
                old = time.time() - folder.stat().st_mtime > ABANDONED
                if old and (name.startswith("stop-") or self.result(name.partition("-")[0]) is not None):
                    self.storage.delete(f"tmp/{name}")

    # --- stages under way and failed ones --------------------------------------------------------------------

    def save_checkpoint(self, key: str, content: bytes) -> None:
        """Replaces a stage's checkpoint as a whole."""
        self.storage.write(f"checkpoints/{key}.pt", hashlib.sha256(content).digest(), content)

    def load_checkpoint(self, key: str) -> bytes | None:
        """A stage's last checkpoint, or None; a damaged one is set aside (torch would read most of them)."""

        def check(content: bytes) -> bytes:
            digest, state = content[:_DIGEST], content[_DIGEST:]
            if hashlib.sha256(state).digest() != digest:
                raise ValueError("its digest does not match")
            return state

        return self._sound(f"checkpoints/{key}.pt", check)

    def drop_checkpoint(self, key: str) -> None:
        """Deletes a stage's checkpoint: it is finished, or the checkpoint is unreadable."""
        self.storage.delete(f"checkpoints/{key}.pt")

    def request_stop(self, run: str) -> None:
        """Asks the workers of a driver's run to save their state and end; they see it by :meth:`stop_requested`."""
        self.storage.write(f"tmp/stop-{run}", b"")

    def stop_requested(self, run: str) -> bool:
        """Whether the driver of a run wants its workers to stop; cheap enough to be asked every second."""
        if not self.storage.local:
            if time.monotonic() - self._asked.get(run, -REMOTE_POLL) < REMOTE_POLL:
                return False
            self._asked[run] = time.monotonic()
        return self.storage.exists(f"tmp/stop-{run}")

    def clear_stop(self, run: str) -> None:
        """Takes the request back; the run is over."""
        self.storage.delete(f"tmp/stop-{run}")

    def write_failure(self, key: str, status: str, error: str) -> None:
        """Notes why a stage has no result: ``status`` is failed, pruned or blocked."""
        self.storage.write_json(f"failures/{key}.json", {"status": status, "error": error, "time": _now()})

    def failure(self, key: str) -> dict[str, Any] | None:
        """What :meth:`write_failure` noted last, or None."""
        return self._sound(f"failures/{key}.json", seals.parsed)

    def clear_failure(self, key: str) -> None:
        """Forgets a failure: the stage is finished or tried again."""
        self.storage.delete(f"failures/{key}.json")

    # --- sweeps ----------------------------------------------------------------------------------------------

    def write_sweep(self, name: str, recipes: list[dict[str, Any]]) -> None:
        """Records what a sweep asks for, so that its rows can be made again; extending one adds a file."""
        content = json.dumps({"sweep": name, "recipes": recipes}, sort_keys=True).encode()
        path = f"sweeps/{name}/{hashlib.sha256(content).hexdigest()[:16]}.json"
        if self.storage.size(path) != len(content):
            self.storage.write(path, content)

    def sweeps(self) -> dict[str, list[dict[str, Any]]]:
        """Every sweep's recipes, over all its starts; the same recipe may come twice."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name in self.storage.names("sweeps"):
            for file in self.storage.names(f"sweeps/{name}"):
                manifest = self._sound(f"sweeps/{name}/{file}", seals.parsed) if file.endswith(".json") else None
                if manifest is not None:
                    found.setdefault(name, []).extend(manifest.get("recipes", []))
        return found

    # --- inside ----------------------------------------------------------------------------------------------

    def _publish_by_rename(
        self, key: str, folder: Path, stage: dict[str, Any], whole: dict[str, Any], weights: Manifest
    ) -> dict[str, Any] | None:
        """Returns the result of a writer that was faster, or None where ours now stands."""
        (folder / "stage.json").write_text(seals.text(stage))
        if weights:
            (folder / "model" / "weights.json").write_text(seals.text(seals.sealed({"files": weights})))
        (folder / "result.json").write_text(seals.text(seals.sealed(whole)))
        name = f"stages/{key}"
        Path(self.storage.path(name)).parent.mkdir(parents=True, exist_ok=True)
        return self._into_place(folder, name, lambda: self.result(key), "it has no result.json")

    def _publish_by_upload(
        self, key: str, folder: Path, stage: dict[str, Any], whole: dict[str, Any], files: Manifest, weights: Manifest
    ) -> None:
        for name, entry in files.items():
            self.storage.upload(folder / name, f"stages/{key}/{entry['path']}")
        self.storage.write_json(f"stages/{key}/stage.json", stage)
        if weights:
            self.storage.write_json(self._weights_json(key), seals.sealed({"files": weights}))
        self.storage.write_json(f"stages/{key}/result.json", seals.sealed(whole))

    def _add_weights(self, key: str, folder: Path, weights: Manifest) -> None:
        """Gives a finished entry back the weights that were dropped (or never kept)."""
        manifest = seals.sealed({"files": weights})
        if self.storage.local:
            (folder / "model" / "weights.json").write_text(seals.text(manifest))
            self._into_place(
                folder / "model", f"stages/{key}/model", lambda: self._weights(key), "it has no weights.json"
            )
            return
        for name, entry in weights.items():
            self.storage.upload(folder / name, f"stages/{key}/{entry['path']}")
        self.storage.write_json(self._weights_json(key), manifest)

    def _into_place(self, folder: Path, name: str, standing: Callable[[], T | None], torn: str) -> T | None:
        """Renames a folder; returns what another writer put there before us, or None where ours now stands."""
        target = Path(self.storage.path(name))
        while True:
            try:
                folder.rename(target)
                return None
            except OSError as error:
                if not target.exists():
                    raise
                refused = error
            faster = standing()
            if faster is not None:
                return faster
            if target.exists() and not self._set_aside(name, torn):
                raise refused

    def _weights_json(self, key: str) -> str:
        # Locally it lies among the weights, so that one rename gives, takes or sets aside the two together.
        return f"stages/{key}/model/weights.json" if self.storage.local else f"stages/{key}/weights.json"

    def _weights(self, key: str) -> Manifest | None:
        def check(content: bytes) -> Manifest:
            manifest: Manifest = seals.opened(content).get("files", {})
            self._check_sizes(key, manifest)
            return manifest

        return self._sound(self._weights_json(key), check, f"stages/{key}/model" if self.storage.local else "")

    def _sound(self, name: str, check: Callable[[bytes], T], entry: str = "") -> T | None:
        """Reads a file; where it is unreadable, it (or the entry that it stands for) is set aside.

        Args:
            name: The file.
            check: Makes the answer of its content; ValueError where that is damaged.
            entry: What to set aside instead of the file alone.
        """
        content = self.storage.read(name)
        if content is None:
            return None
        try:
            return check(content)
        except ValueError as error:
            if self.storage.read(name) == content:
                self._set_aside(entry or name, str(error))
                return None
        return self._sound(name, check, entry)  # another process has replaced it meanwhile

    def _check_sizes(self, key: str, manifest: Manifest) -> None:
        for name, entry in manifest.items():
            size = self.storage.size(f"stages/{key}/{entry['path']}")
            if size != entry["size"]:
                raise ValueError(f"{name} has {size} bytes, not {entry['size']}")

    def _differing(self, manifest: Manifest, folder: Path) -> str | None:
        """The first file that is not what was written; each is read once per process unless it changes."""
        for name, entry in manifest.items():
            path = folder / name.removeprefix("model/")
            try:
                seen = (entry["sha256"], str(path), path.stat().st_mtime_ns)
                if seen not in self._verified and seals.sha256(path) != entry["sha256"]:
                    return name
            except FileNotFoundError:
                return name
            self._verified.add(seen)
        return None

    def _local_folder(self, key: str, manifest: Manifest) -> Path:
        if not self.storage.local:
            return self._cached(key, manifest)
        return Path(self.storage.path(f"stages/{key}/model"))

    def _cached(self, key: str, manifest: Manifest) -> Path:
        """Downloads weights once per node."""
        name = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:32]
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "stilt-sweeps"
        folder = cache / name
        if folder.is_dir():
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache))
        try:
            for file, entry in manifest.items():
                self.storage.download(f"stages/{key}/{entry['path']}", temporary / file.removeprefix("model/"))
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another worker of this node was faster
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _set_aside(self, name: str, why: str) -> bool:
        """Moves an unreadable entry out of the way and says so; False where it cannot be moved."""
        target = f"set_aside/{name.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        try:
            self.storage.move(name, target)
        except FileNotFoundError:  # another process did
            return True
        except OSError as error:
            _log.warning("unreadable entry %s (%s): left out; it could not be moved: %s", name, why, error)
            return False
        _log.warning("unreadable entry %s (%s): set aside as %s, and made again", name, why, target)
        return True

    def _corrupt(self, key: str, name: str) -> CorruptEntry:
        """Sets an entry aside for one of its files, and makes the error that says so."""
        why = f"{name} is missing or differs from what was written"
        self._set_aside(f"stages/{key}", why)
        return CorruptEntry(key, why)

    def _set_aside_weights(self, key: str, manifest: Manifest, why: str) -> None:
        if self.storage.local:
            self._set_aside(f"stages/{key}/model", why)
            return
        self.storage.delete(self._weights_json(key))
        for folder in seals.model_folders(manifest):
            self._set_aside(f"stages/{key}/{folder}", why)

    def _discard(self, name: str) -> None:
        """Deletes a local folder; whoever looks finds all of it or nothing."""
        trash = f"tmp/{uuid.uuid4().hex}"
        try:
            self.storage.move(name, trash)
        except FileNotFoundError:
            return
        self.storage.delete(trash)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
