"""Pretrained weights that lie elsewhere: a local folder or a hub id, and what identifies them."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from trainables.errors import UserError

_COMMIT = re.compile(r"[0-9a-f]{40}")
#: What is downloaded and hashed: configuration, tokenizer, weights. Some older hub models (PubMedBERT's) come
#: as pickles only, which transformers reads with ``weights_only``; they are fetched where nothing safer is there.
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
_PICKLES = ("pytorch_model*.bin",)
#: Any of these is a tokenizer's vocabulary.
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
#: What architectures call the number of their layers.
_DEPTHS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
#: What BERT's own first configuration files hold, and no other architecture's.
_FIRST_BERT = frozenset(
    {
        "attention_probs_dropout_prob",
        "hidden_act",
        "hidden_dropout_prob",
        "hidden_size",
        "initializer_range",
        "intermediate_size",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "type_vocab_size",
        "vocab_size",
    }
)


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


def layers(name: str) -> int | None:
    """How many layers a local folder's model has; None for a hub id, and where the folder does not tell."""
    try:
        config = json.loads((Path(name).expanduser() / "config.json").read_text()) if is_folder(name) else {}
    except (OSError, ValueError):
        return None  # the fingerprint names what is wrong with it
    found = [config.get(key) for key in _DEPTHS] if isinstance(config, dict) else []
    return next((count for count in found if isinstance(count, int)), None)


def local_folder(name: str, revision: str | None) -> Path:
    """The folder to load from; a hub model is downloaded to the hub's cache first.

    Raises:
        UserError: As :func:`fingerprint`, and for a hub model that lacks what a folder must have.
    """
    if is_folder(name):
        path = Path(name).expanduser()
        _model_files(path)
        return path
    snapshot = _download(name, commit(name, revision), _FILES)
    if not any(snapshot.glob("*.safetensors")):
        snapshot = _download(name, commit(name, revision), (*_FILES, *_PICKLES))
    folder = _with_model_type(snapshot)
    try:
        _model_files(folder)
    except UserError as error:
        raise UserError(f"hub model {name!r} cannot be used: {error}") from error
    return folder


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


def _with_model_type(snapshot: Path) -> Path:
    """A folder of links to a snapshot's files whose configuration says that it is BERT's, where it does not say so.

    FinBERT's on the hub is such a one: transformers once guessed the architecture from the folder's name, and now
    refuses it. The folder lies beside the snapshots, where the hub's tools remove it along with them.
    """
    config = _json(snapshot / "config.json") if (snapshot / "config.json").is_file() else {}
    if not _is_first_bert(config):
        return snapshot
    complete = snapshot.parent.parent / "with_model_type" / snapshot.name
    if complete.is_dir():
        return complete
    complete.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=complete.parent))
    made.chmod(snapshot.stat().st_mode)  # a temporary folder is its owner's alone, a cache may be shared
    for path in snapshot.iterdir():
        if path.name != "config.json":
            (made / path.name).symlink_to(path.resolve())
    (made / "config.json").write_text(json.dumps({"model_type": "bert", **config}, indent=2))
    try:
        made.replace(complete)
    except OSError:  # another worker was faster
        shutil.rmtree(made)
        if not complete.is_dir():
            raise
    return complete


def _is_first_bert(config: dict[str, Any]) -> bool:
    return set(config) - {"architectures"} == _FIRST_BERT


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
    if "model_type" not in (config := _json(folder / "config.json")):
        bert = ' (its other keys are BERT\'s: "model_type": "bert")' if _is_first_bert(config) else ""
        raise UserError(f"model folder {str(folder)!r}: config.json has no model_type; add the architecture's{bert}")
    files = sorted(path for pattern in (*_FILES, *_PICKLES) for path in folder.glob(pattern))
    if not any(path.suffix in (".safetensors", ".bin") for path in files):
        raise UserError(f"model folder {str(folder)!r} has no weights (model.safetensors or pytorch_model.bin)")
    for path in files:
        if path.suffix == ".safetensors":
            _check_safetensors(path)
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        raise UserError(f"model folder {str(folder)!r} has no tokenizer ({' or '.join(_VOCABULARIES)})")
    return files


def _json(path: Path) -> dict[str, Any]:
    """A JSON file's object."""
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"model folder {str(path.parent)!r}: {path.name} is no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"model folder {str(path.parent)!r}: {path.name} must hold an object, not {content!r:.40}")
    return content


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
