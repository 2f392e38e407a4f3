"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A machine with other work on it is slow at times; that is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_BESIDE_THE_REPOSITORY = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the original corpora, named by ``$STILT_DATA``; the test is skipped where there is none."""
    folder = Path(os.environ.get("STILT_DATA") or _BESIDE_THE_REPOSITORY)
    if not folder.is_dir():
        pytest.skip(f"needs the original corpora in $STILT_DATA (looked in {folder})")
    return folder
