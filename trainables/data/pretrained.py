"""Pretrained weights that lie elsewhere: a local folder or a hub id, and what identifies them."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path

from trainables.errors import UserError

_COMMIT = re.compile(r"[0-9a-f]{40}")
#: What is downloaded and hashed: configuration, tokenizer, weights. Some older hub models (PubMedBERT's) come
#: as pickles only, which transformers reads with ``weights_only``; they are fetched where nothing safer is there.
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
_PICKLES = ("pytorch_model*.bin",)


def is_folder(name: str) -> bool:
    """Whether a name means a local folder rather than a hub id (``owner/name`` or ``name``)."""
    return Path(name).expanduser().is_dir() or name.startswith((".", "/", "~")) or name.count("/") > 1


@functools.cache
def fingerprint(name: str, revision: str | None) -> str:
    """Identifies weights: a hash of a local folder's files, or a hub id's commit.

    Raises:
        UserError: For a folder without a model in it, or a hub id that cannot be resolved.
    """
    if not is_folder(name):
        return f"{name}@{commit(name, revision)}"
    digest = hashlib.sha256()
    for path in _model_files(Path(name).expanduser()):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def local_folder(name: str, revision: str | None) -> Path:
    """The folder to load from; a hub model is downloaded to the hub's cache first.

    Raises:
        UserError: As :func:`fingerprint`.
    """
    if is_folder(name):
        path = Path(name).expanduser()
        _model_files(path)
        return path
    snapshot = _download(name, commit(name, revision), _FILES)
    if not any(snapshot.glob("*.safetensors")):
        snapshot = _download(name, commit(name, revision), (*_FILES, *_PICKLES))
    return snapshot


def _download(name: str, revision: str, patterns: tuple[str, ...]) -> Path:
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=list(patterns), ignore_patterns=["*/*"]
            )
        )
    except Exception as error:  # the hub client raises a dozen kinds, from HTTP to validation
        raise UserError(f"model {name!r} could not be downloaded from the hub: {error}") from error


@functools.cache
def commit(name: str, revision: str | None) -> str:
    """Resolves a hub id's branch or tag to a commit, from the hub or else from the local cache.

    Raises:
        UserError: Where neither knows it.
    """
    if revision and _COMMIT.fullmatch(revision):
        return revision
    import huggingface_hub

    try:
        found = huggingface_hub.HfApi().model_info(name, revision=revision, timeout=10).sha
        if found:
            return found
        problem = "the hub gave no commit"
    except Exception as error:  # the hub client raises a dozen kinds, from HTTP to validation
        problem = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    cached = huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(cached, str):
        return Path(cached).parent.name
    raise UserError(
        f"model {name!r} is no local folder, and as a hub id it could not be resolved: {problem}. Give a folder "
        "in save_pretrained layout (config.json, tokenizer files, model.safetensors) or a hub id that is reachable"
    )


def _model_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"model folder {str(folder)!r} does not exist; give a folder in save_pretrained layout")
    if not (folder / "config.json").is_file():
        raise UserError(f"model folder {str(folder)!r} has no config.json; give a folder in save_pretrained layout")
    try:
        json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise UserError(f"model folder {str(folder)!r}: config.json is no valid JSON: {error}") from error
    files = sorted(path for pattern in (*_FILES, *_PICKLES) for path in folder.glob(pattern))
    if not any(path.suffix in (".safetensors", ".bin") for path in files):
        raise UserError(f"model folder {str(folder)!r} has no weights (model.safetensors or pytorch_model.bin)")
    for path in files:
        if path.suffix == ".safetensors":
            _check_safetensors(path)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "tokenizer.model")):
        raise UserError(f"model folder {str(folder)!r} has no tokenizer (tokenizer.json or vocab.txt)")
    return files


def _check_safetensors(path: Path) -> None:
    """Refuses a file that is shorter than its own header says (a download that broke off)."""
    with path.open("rb") as file:
        start = file.read(8)
        header = file.read(int.from_bytes(start, "little")) if len(start) == 8 else b""
    try:
        entries = [entry for name, entry in json.loads(header).items() if name != "__metadata__"]
        wanted = 8 + len(header) + max((entry["data_offsets"][1] for entry in entries), default=0)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{str(path)!r} is no whole safetensors file: its header is unreadable") from error
    if path.stat().st_size != wanted:
        raise UserError(f"{str(path)!r} has {path.stat().st_size} bytes, and its header says {wanted}; get it again")
