"""The short form of ``python -m tests.search_chaos``: a search that is killed three times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import search_chaos


@pytest.mark.slow
def test_a_search_that_is_killed_three_times_loses_nothing_and_all_accounts_agree(tmp_path: Path) -> None:
    assert search_chaos.search_chaos(tmp_path, kills=3, seed=0) == []
