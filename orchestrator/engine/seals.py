"""How the store tells whole files from damaged ones: JSON with a digest of itself, and manifests of other files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeAlias

#: Path in the entry, size and sha256 of every file, by its name in the working folder.
Manifest: TypeAlias = dict[str, dict[str, Any]]


def text(value: dict[str, Any]) -> str:
    """The JSON that is written for a value."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def as_read(value: dict[str, Any]) -> dict[str, Any]:
    """A value as it will be read back: tuples become lists, keys become strings."""
    same: dict[str, Any] = json.loads(json.dumps(value))
    return same


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Adds a digest of all the rest, so that a damaged file is told from a whole one."""
    return {**value, "digest": hashlib.sha256(text(value).encode()).hexdigest()}


def parsed(content: bytes) -> dict[str, Any]:
    """Reads an unsealed JSON file; ValueError where it is none."""
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def opened(content: bytes) -> dict[str, Any]:
    """Reads a sealed JSON file; ValueError where it is torn or damaged."""
    value = parsed(content)
    digest = value.pop("digest", None)
    if sealed(value)["digest"] != digest:
        raise ValueError("its digest does not match")
    return value


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_folders(manifest: Manifest) -> set[str]:
    """The folders, one per attempt, in which an object store has the weights."""
    return {entry["path"].removesuffix(name) + "model" for name, entry in manifest.items()}


def manifest(folder: Path, attempt: str) -> Manifest:
    """Lists all files of a folder.

    Args:
        folder: The working folder.
        attempt: Name of a folder in the entry that they go to; none where it is empty.
    """
    prefix = f"{attempt}/" if attempt else ""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        name: {"path": prefix + name, "size": path.stat().st_size, "sha256": sha256(path)}
        for path in files
        for name in [path.relative_to(folder).as_posix()]
    }
