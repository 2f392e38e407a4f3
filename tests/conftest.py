"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the original corpora, named by ``$STILT_DATA``; the test is skipped where there is none."""
    folder = Path(os.environ.get("STILT_DATA") or _BESIDE_THE_REPOSITORY)
    if not folder.is_dir():
        pytest.skip(f"needs the original corpora in $STILT_DATA (looked in {folder})")
    return folder
