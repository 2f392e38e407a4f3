"""The store: finished stages as folders named by their keys, and the checkpoints of those under way.

    stages/<key>/stage.json           the expression, readable
    stages/<key>/result.json          metrics, history, cost; its valid presence alone means finished
    stages/<key>/predictions.parquet
    stages/<key>/weights.json         which files are the weights; its valid presence alone means they are there
    stages/<key>/model/               ordinary save_pretrained layout
    checkpoints/<key>.pt              the last state of a stage under way
    failures/<key>.json               why a stage last failed
    sweeps/<name>/<hash>.json         which expressions a sweep asked for, and their labels
    leaderboard/<row key>.parquet     made from all of the above
    set_aside/                        entries that could not be read

On a local filesystem an entry is made in ``tmp/`` and renamed. An object store has no rename, so files go to
a folder of their own per attempt, and ``result.json``, written last, names them: writers of the same key never
touch each other's files, and whichever comes last is whole.

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
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.engine.storage import Storage, default_location
from trainables.errors import CorruptEntry

if TYPE_CHECKING:
    import pyarrow.fs

__all__ = ["Store", "default_location"]

FORMAT = 1
_log = logging.getLogger(__name__)

Manifest = dict[str, dict[str, Any]]


class Store:
    """Finished stages by key, on any filesystem.

    Args:
        location: A folder or URI; see :class:`~orchestrator.engine.storage.Storage`.
    """

    def __init__(self, location: str) -> None:
        self.storage = Storage(location)
        self._verified: set[tuple[str, str]] = set()

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
        content = self.storage.read(f"stages/{key}/result.json")
        if content is None:
            return None
        try:
            result = _parse(content)
            if result.get("key") != key:
                raise ValueError(f"it is of key {result.get('key')}")
            self._check_sizes(key, result["files"])
        except ValueError as error:
            self._set_aside(f"stages/{key}", str(error))
            return None
        return result

    def results(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """:meth:`result` of many keys at once; only the finished ones are in the answer."""
        wanted = list(keys)
        # An object store answers a request in tens of milliseconds; on a local disk more threads gain nothing.
        with ThreadPoolExecutor(1 if self.storage.local else 32) as pool:
            found = pool.map(self.result, wanted)
            return {key: result for key, result in zip(wanted, found, strict=True) if result is not None}

    def stage_json(self, key: str) -> dict[str, Any] | None:
        """A finished stage's expression; :func:`trainables.expression.from_json` reads it back."""
        content = self.storage.read(f"stages/{key}/stage.json")
        return json.loads(content) if content is not None else None

    def predictions_path(self, key: str) -> str:
        """Where a finished stage's predictions lie, in the storage's filesystem.

        Raises:
            KeyError: Where the stage is not finished or has none.
        """
        result = self.result(key)
        if result is None:
            raise KeyError(key)
        name: str = result["files"]["predictions.parquet"]["path"]
        return self.storage.path(f"stages/{key}/{name}")

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
        some = next(iter(manifest.values()))["path"]
        folder = some.rsplit("/", 1)[0]
        inside = Path(self.storage.path(f"stages/{key}/{folder}"))
        local = inside if self.storage.local else self._cached(key, manifest)
        self._check_content(key, manifest, local)
        return local

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
        files = _manifest(folder, attempt)
        weights = {name: entry for name, entry in files.items() if name.startswith("model/")}
        others = {name: entry for name, entry in files.items() if name not in weights}
        whole = _sealed({**result, "format": FORMAT, "key": key, "files": others})
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
        manifest = self._weights(key)
        self.storage.delete(f"stages/{key}/weights.json")  # first: from here on they count as dropped
        for folder in {entry["path"].rsplit("/", 1)[0] for entry in (manifest or {}).values()}:
            self.storage.delete(f"stages/{key}/{folder}")

    # --- stages under way and failed ones --------------------------------------------------------------------

    def save_checkpoint(self, key: str, content: bytes) -> None:
        """Replaces a stage's checkpoint as a whole."""
        self.storage.write(f"checkpoints/{key}.pt", content)

    def load_checkpoint(self, key: str) -> bytes | None:
        """A stage's last checkpoint, or None."""
        return self.storage.read(f"checkpoints/{key}.pt")

    def drop_checkpoint(self, key: str) -> None:
        """Deletes a stage's checkpoint: it is finished, or the checkpoint is unreadable."""
        self.storage.delete(f"checkpoints/{key}.pt")

    def write_failure(self, key: str, status: str, error: str) -> None:
        """Notes why a stage has no result: ``status`` is failed, pruned or blocked."""
        self.storage.write_json(f"failures/{key}.json", {"status": status, "error": error, "time": _now()})

    def failure(self, key: str) -> dict[str, Any] | None:
        """What :meth:`write_failure` noted last, or None."""
        content = self.storage.read(f"failures/{key}.json")
        return json.loads(content) if content is not None else None

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
                content = self.storage.read(f"sweeps/{name}/{file}") if file.endswith(".json") else None
                if content is not None:
                    found.setdefault(name, []).extend(json.loads(content)["recipes"])
        return found

    # --- inside ----------------------------------------------------------------------------------------------

    def _publish_by_rename(
        self, key: str, folder: Path, stage: dict[str, Any], whole: dict[str, Any], weights: Manifest
    ) -> dict[str, Any] | None:
        """Returns the result of a writer that was faster, or None where ours now stands."""
        (folder / "stage.json").write_text(_text(stage))
        if weights:
            (folder / "weights.json").write_text(_text(_sealed({"files": weights})))
        (folder / "result.json").write_text(_text(whole))
        target = Path(self.storage.path(f"stages/{key}"))
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.rename(target)
                return None
            except OSError:
                if not target.exists():
                    raise
            faster = self.result(key)
            if faster is not None:
                return faster
            if target.exists():  # a folder without result.json: torn
                self._set_aside(f"stages/{key}", "it has no result.json")

    def _publish_by_upload(
        self, key: str, folder: Path, stage: dict[str, Any], whole: dict[str, Any], files: Manifest, weights: Manifest
    ) -> None:
        for name, entry in files.items():
            self.storage.upload(folder / name, f"stages/{key}/{entry['path']}")
        self.storage.write_json(f"stages/{key}/stage.json", stage)
        if weights:
            self.storage.write_json(f"stages/{key}/weights.json", _sealed({"files": weights}))
        self.storage.write_json(f"stages/{key}/result.json", whole)

    def _add_weights(self, key: str, folder: Path, weights: Manifest) -> None:
        """Gives a finished entry back the weights that were dropped (or never kept)."""
        if self.storage.local:
            self.storage.delete(f"stages/{key}/model")
            (folder / "model").rename(self.storage.path(f"stages/{key}/model"))
        else:
            for name, entry in weights.items():
                self.storage.upload(folder / name, f"stages/{key}/{entry['path']}")
        self.storage.write_json(f"stages/{key}/weights.json", _sealed({"files": weights}))

    def _weights(self, key: str) -> Manifest | None:
        content = self.storage.read(f"stages/{key}/weights.json")
        if content is None:
            return None
        try:
            manifest: Manifest = _parse(content)["files"]
            self._check_sizes(key, manifest)
        except ValueError as error:
            self._set_aside_weights(key, str(error))
            return None
        return manifest

    def _check_sizes(self, key: str, manifest: Manifest) -> None:
        for name, entry in manifest.items():
            size = self.storage.size(f"stages/{key}/{entry['path']}")
            if size != entry["size"]:
                raise ValueError(f"{name} has {size} bytes, not {entry['size']}")

    def _check_content(self, key: str, manifest: Manifest, local: Path) -> None:
        for name, entry in manifest.items():
            if (key, entry["sha256"]) in self._verified:
                continue
            path = local / name.removeprefix("model/")
            try:
                found = _sha256(path)
            except FileNotFoundError:
                found = "nothing"
            if found != entry["sha256"]:
                self._set_aside_weights(key, f"{name} differs from what was written")
                raise CorruptEntry(key, f"{name} differs from what was written")
            self._verified.add((key, entry["sha256"]))

    def _cached(self, key: str, manifest: Manifest) -> Path:
        """Downloads weights once per node."""
        name = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:32]
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "stilt-sweeps"
        folder = cache / name
        if folder.is_dir():
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache))
        for file, entry in manifest.items():
            self.storage.download(f"stages/{key}/{entry['path']}", temporary / file.removeprefix("model/"))
        try:
            temporary.rename(folder)
        except OSError:  # another worker of this node was faster
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _set_aside(self, name: str, why: str) -> None:
        target = f"set_aside/{name.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        _log.warning("unreadable entry %s (%s): set aside as %s, and made again", name, why, target)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            self.storage.move(name, target)

    def _set_aside_weights(self, key: str, why: str) -> None:
        manifest = self.storage.read(f"stages/{key}/weights.json")
        self.storage.delete(f"stages/{key}/weights.json")
        folders = {"model"}
        with contextlib.suppress(ValueError, KeyError, TypeError):  # the manifest itself may be torn
            folders = {entry["path"].rsplit("/", 1)[0] for entry in json.loads(manifest or b"{}")["files"].values()}
        for folder in folders:
            if self.storage.exists(f"stages/{key}/{folder}"):
                self._set_aside(f"stages/{key}/{folder}", why)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Adds a digest of all the rest, so that a damaged file is told from a whole one."""
    return {**value, "digest": hashlib.sha256(_text(value).encode()).hexdigest()}


def _parse(content: bytes) -> dict[str, Any]:
    """Reads a sealed JSON file; ValueError where it is torn or damaged."""
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    digest = value.pop("digest", None)
    if _sealed(value)["digest"] != digest:
        raise ValueError("its digest does not match")
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path, attempt: str) -> Manifest:
    prefix = f"{attempt}/" if attempt else ""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        name: {"path": prefix + name, "size": path.stat().st_size, "sha256": _sha256(path)}
        for path in files
        for name in [path.relative_to(folder).as_posix()]
    }
