"""VE-KD's spaces, against the sets and choices that are published."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import orchestrator.leaderboard
from search_spaces import vekd
from search_spaces.space import Choices
from tests.test_project import loaded_by
from trainables.errors import UserError
from trainables.stages import MaskedLMDistillation, Pretrained, TokenizedCorpus

PUBLISHED = Path(orchestrator.leaderboard.__file__).parent / "published" / "hyperparameters.csv"


def printed(name: str) -> dict[str, str]:
    with PUBLISHED.open() as file:
        (row,) = (
            row
            for row in csv.DictReader(file)
            if (row["paper"], row["stage"], row["name"]) == ("vekd", "distillation", name)
        )
    return row


def listed(space: str, name: str) -> set[float]:
    dimension = vekd.SPACES[space].dimensions[name]
    assert isinstance(dimension, Choices)
    return set(dimension.listed())


@pytest.mark.parametrize("name", ["vocabulary_size", "tolerance"])
def test_what_the_paper_tried_lies_in_its_space_and_its_choice_is_the_default(name: str) -> None:
    row = printed(name)
    tried = {0.0 if value == "none" else float(value) for value in row["searched"].split("|")}

    assert tried <= listed("paper", name)
    assert vekd.published()[name] == float(row["value"])


def test_the_spaces_are_those_of_the_issue() -> None:
    assert listed("paper", "tolerance") == {0, 0.1, 0.5, 1, 2}
    assert listed("paper", "vocabulary_size") == {0, 40_000, 50_000, 60_000, 70_000, 80_000}
    for space in vekd.SPACES.values():
        assert list(space.dimensions) == list(vekd.PARAMETERS)


@pytest.mark.parametrize("preset", ["paper", "mini"])
def test_defaults_lie_in_the_space_of_their_preset(preset: str) -> None:
    assert vekd.get(preset).contains(vekd.defaults(preset))
    assert vekd.WIDE.contains(vekd.defaults("paper"))


def test_weights_and_temperature_are_the_stages_own_unless_chosen() -> None:
    stage = MaskedLMDistillation(Pretrained("/nowhere"), TokenizedCorpus("mini:domain", Pretrained("/nowhere")))
    names = ("mlm_weight", "kl_weight", "cosine_weight", "mse_weight", "temperature")
    assert {name: getattr(stage, name) for name in names} == {name: vekd.published()[name] for name in names}


def test_plain_distillation_has_neither_vocabulary_nor_tolerance() -> None:
    chosen = vekd.plain(vekd.published())
    assert (chosen["vocabulary_size"], chosen["tolerance"]) == (vekd.BASE_VOCABULARY, 0)
    assert {name: value for name, value in chosen.items() if name not in ("vocabulary_size", "tolerance")} == {
        name: value for name, value in vekd.published().items() if name not in ("vocabulary_size", "tolerance")
    }


def test_base_is_a_vocabulary_size(tmp_path: Path) -> None:
    assert vekd.parse_settings("vocabulary_size=base,tolerance=0.1") == {"vocabulary_size": 0, "tolerance": 0.1}
    (tmp_path / "own.yaml").write_text("vocabulary_size: [base, 45000]\nshare: 1\n")
    space = vekd.get(str(tmp_path / "own.yaml"))
    assert space.dimensions["vocabulary_size"] == Choices((0, 45_000))
    with pytest.raises(UserError, match="vocabulary_size='bass' must be a whole number of at least 0, or 'base' for 0"):
        vekd.parse_settings("vocabulary_size=bass")
    with pytest.raises(UserError, match="tolerance='base' must be"):
        vekd.parse_settings("tolerance=base")


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="tolerance"):
        vekd.parse_settings("tolerence=0.1")
    with pytest.raises(UserError, match="mini"):
        vekd.get("minni")
    with pytest.raises(UserError, match="share=0 must be a number above 0 and at most 1"):
        vekd.parse_settings("share=0")


def test_spaces_load_nothing_heavy() -> None:
    code = "import search_spaces.vekd as d; d.parse_settings('tolerance=0.8'); d.get('paper').describe()"
    assert loaded_by(f"{code}; assert not {{'optuna', 'yaml'}} & set(sys.modules)") == set()
