"""Spaces that users write as YAML, and every way in which they can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces.doktra import PAPER, PARAMETERS, SPACES, WIDE
from search_spaces.files import read
from search_spaces.space import Choices, Range, Space
from trainables.errors import UserError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def from_text(file: Path, text: str) -> Space:
    file.write_text(text)
    return read(file, PARAMETERS, SPACES, "paper")


def test_sets_values_and_ranges(file: Path) -> None:
    made = from_text(
        file,
        """
        learning_rate: {low: 1e-6, high: 1e-4, log: true}   # without a dot, which YAML itself takes for text
        gamma: [0.6, 1]
        beta1: 0
        beta2: {low: 0, high: 1, step: 0.25}
        epochs: {low: 5, high: 10}
        teacher_learning_rate: 2e-5
        """,
    )

    assert made.name == "mine.yaml"
    assert made.dimensions == {
        **PAPER.dimensions,
        "learning_rate": Range(1e-6, 1e-4, log=True),
        "gamma": Choices((0.6, 1.0)),
        "beta1": Choices((0.0,)),
        "beta2": Range(0.0, 1.0, step=0.25),
        "epochs": Range(5, 10, integer=True),
        "teacher_learning_rate": Choices((2e-5,)),
    }
    assert list(made.dimensions) == list(PARAMETERS)


def test_a_base_holds_what_the_file_does_not_name(file: Path) -> None:
    made = from_text(file, "base: wide\ngamma: 0.8\n")

    assert made.dimensions == {**WIDE.dimensions, "gamma": Choices((0.8,))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama: [0.8]", "unknown hyperparameter 'gama'; did you mean 'gamma'"),
        ("3: [0.8]", "unknown hyperparameter 3"),
        ("base: wid", "base='wid' is no space; did you mean 'wide'"),
        ("base: [wide]", "base=.*'wide'.* is no space"),
        ("base:\ngamma: 0.8", "base=None is no space"),
        ("gamma: []", "gamma is an empty set"),
        ("gamma: [0.8, 1.2]", "gamma=1.2 must be a number from 0 to 1; nearest: 1"),
        ("gamma: [high]", "gamma='high' must be a number from 0 to 1"),
        ("gamma: [[0.8]]", r"gamma=\[0.8\] must be a number from 0 to 1"),
        ("gamma: .nan", "gamma=nan must be a number from 0 to 1"),
        ("gamma: yes", "gamma=True must be a number from 0 to 1"),
        ("gamma:", r"gamma has no value; give a list, one value \(a number from 0 to 1\), or low and high"),
        ("gamma: {low: 0.9, high: 0.6}", "gamma from 0.9 to 0.6: low must be below high"),
        ("gamma: {lo: 0.6, high: 0.9}", "gamma has an unknown key 'lo'; did you mean 'low'"),
        ("gamma: {low: 0.6}", "gamma=.*'low': 0.6.* lacks high; a range has low and high"),
        ("gamma: {}", "gamma=.* lacks low and high"),
        ("gamma: {low: 0.6, high: 0.9, log: 1}", "gamma: log=1 must be true or false"),
        ("gamma: {low: 0, high: 1, log: true}", "gamma from 0 with log: low must be above 0"),
        ("gamma: {low: 0, high: 1, step: 0.3}", "high must be low plus a whole number of steps; nearest: 0.9"),
        ("gamma: {low: 0, high: 1, step: fine}", "gamma: step='fine' must be a number above 0"),
        ("learning_rate: {low: 0, high: 1e-4}", "learning_rate=0 must be a number above 0"),
        ("epochs: {low: 1.5, high: 3}", "epochs=1.5 must be a whole number of at least 1"),
        ("beta1: [-0.1]", "beta1=-0.1 must be a number of at least 0; nearest: 0"),
        ("", "the file is empty; it must map hyperparameters"),
        ("{}", "the file is empty"),
        ("- gamma", "the file is a list; it must map hyperparameters"),
    ],
)
def test_what_is_refused(file: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^space 'mine.yaml': .*{message}"):
        from_text(file, text)


@pytest.mark.parametrize(
    ("text", "key"), [("gamma: 0.6\nbeta1: 0\ngamma: 0.8", "gamma"), ("gamma: {low: 0, low: 0.5, high: 1}", "low")]
)
def test_what_stands_in_it_twice(file: Path, text: str, key: str) -> None:
    with pytest.raises(UserError, match=rf"space file '.*mine.yaml': '{key}' stands 2 times .*; give it once"):
        from_text(file, text)


def test_what_cannot_be_read(file: Path) -> None:
    with pytest.raises(UserError, match=r"space file '.*mine.yaml' cannot be read"):
        read(file, PARAMETERS, SPACES, "paper")
    file.write_bytes(b"gamma: \xff")
    with pytest.raises(UserError, match=r"space file '.*mine.yaml' cannot be read"):
        read(file, PARAMETERS, SPACES, "paper")
    with pytest.raises(UserError, match=r"space file '.*mine.yaml' is no valid YAML"):
        from_text(file, "gamma: [0.8")
