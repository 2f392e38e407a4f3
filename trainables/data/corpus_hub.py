"""Corpora on the hub: the text column of a data set, read as a stream from a downloaded copy.

The name is ``owner/name``, with a configuration and a revision as in :mod:`trainables.data.hub`. The training split is
read, or the only one there is.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainables.data import hub, textfiles
from trainables.errors import UserError

_SPLIT = "train"
_COLUMN = "text"
_STRINGS = ("string", "large_string")


def fingerprint(name: str) -> str:
    """A hash of repository, configuration and commit.

    Raises:
        UserError: For a name of another form, and a revision that neither the hub nor its cache knows.
    """
    place = hub.parse(name)
    return hashlib.sha256(f"text of {place.repository} {place.config} at {commit(name)}".encode()).hexdigest()


@functools.cache
def commit(name: str) -> str:
    """The commit that a name means now: from the hub, or else from the local cache.

    Raises:
        UserError: Where neither knows it.
    """
    import huggingface_hub

    place = hub.parse(name)
    try:
        found = huggingface_hub.HfApi().dataset_info(place.repository, revision=place.revision, timeout=10).sha
        if found:
            return found
        problem = "the hub gave no commit"
    except Exception as error:  # the hub client raises a dozen kinds, from HTTP to validation
        problem = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    try:
        cached = huggingface_hub.snapshot_download(
            place.repository, repo_type="dataset", revision=place.revision, local_files_only=True
        )
    except Exception as error:
        raise UserError(f"hub data set {name!r} is not in the local cache, and on the hub: {problem}") from error
    return Path(cached).name


def texts(name: str) -> Iterator[str]:
    """The texts of a data set in its own order; blank and missing ones are left out.

    Raises:
        UserError: For a data set that cannot be read, without a training split among several, or with several columns
            of text and none called ``text``.
    """
    place = hub.parse(name)
    folder = hub.download(f"{place.repository}@{commit(name)}")
    with textfiles.at(f"hub:{name}"):
        table = _split(hub.load_tables(folder, place.config, streaming=True))
        column = _column(table)
        for row in table:
            if text := (row[column] or "").strip():
                yield text


def _split(tables: Any) -> Any:
    if _SPLIT in tables:
        return tables[_SPLIT]
    if len(tables) == 1:
        return next(iter(tables.values()))
    raise UserError(f"no {_SPLIT} split among {', '.join(tables)}; a corpus is the {_SPLIT} split, or the only one")


def _column(table: Any) -> str:
    """The column of text. Files of JSON lines have no declared columns; there the first row says what is text."""
    if table.features is not None:
        found: list[str] = [name for name, kind in table.features.items() if getattr(kind, "dtype", None) in _STRINGS]
    else:
        found = [name for name, value in next(iter(table), {}).items() if isinstance(value, str)]
    if _COLUMN in found:
        return _COLUMN
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"{len(found)} columns hold text ({', '.join(found) or 'none'}) and none is called {_COLUMN!r}; a corpus has a "
        f"column {_COLUMN!r}, or only one of text"
    )
