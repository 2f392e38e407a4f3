"""Naming a space is part of planning, so it loads nothing that takes time."""

from __future__ import annotations

from tests.test_project import loaded_by


def test_spaces_load_nothing_heavy() -> None:
    code = "import search_spaces.doktra as d; d.parse_settings('gamma=0.8'); d.get('paper').describe()"

    assert loaded_by(f"{code}; assert not {{'optuna', 'yaml'}} & set(sys.modules)") == set()
