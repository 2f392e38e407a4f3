"""The short form of ``python -m tests.chaos``: one kill of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import chaos


@pytest.mark.slow
def test_a_grid_that_is_killed_three_times_ends_as_if_it_were_not(tmp_path: Path) -> None:
    assert chaos.chaos(tmp_path, kills=3, seed=0) == []
