"""Files that people write are read strictly: whatever stands in one mapping twice is refused."""

from __future__ import annotations

import json

import pytest

from trainables import handwritten
from trainables.errors import UserError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 3\nseed: 0\nepochs: 4", r"^the file: 'epochs' stands 2 times in one mapping \(lines 1, 3\); give it"),
        ("init:\n  epochs: 3\n  epochs: 3\n", r"'epochs' stands 2 times in one mapping \(lines 2, 3\)"),
        ("- {a: 1, a: 2, a: 3}", r"'a' stands 3 times in one mapping \(lines 1, 1, 1\)"),
        ("[a", r"^the file is no valid YAML"),
        ("[" * 5000, r"^the file is no valid YAML"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        handwritten.from_yaml(text, "the file")


def test_yaml_of_equal_keys_in_different_mappings() -> None:
    text = "base: &base {epochs: 3, seed: 0}\nmine: {<<: *base, epochs: 4}\n1: a\n'1': b\n"
    assert handwritten.from_yaml(text, "the file") == {
        "base": {"epochs": 3, "seed": 0},
        "mine": {"epochs": 4, "seed": 0},
        1: "a",
        "1": "b",
    }
    assert handwritten.from_yaml("", "the file") is None


def test_numbers_with_an_exponent() -> None:
    assert handwritten.from_yaml("[2e-5, 1.5e-3]", "the file") == ["2e-5", 1.5e-3]
    assert handwritten.from_yaml("[2e-5, 1.5e3]", "the file", exponents=True) == [2e-5, 1500.0]


def test_json() -> None:
    assert handwritten.from_json('{"a": {"b": 2e-5}, "b": 1}', "the file") == {"a": {"b": 2e-5}, "b": 1}
    with pytest.raises(UserError, match=r"^the file: 'b' stands 2 times in one mapping; give it once"):
        handwritten.from_json('[{"a": {"b": 1, "c": 0, "b": 2}}]', "the file")
    with pytest.raises(json.JSONDecodeError):
        handwritten.from_json("{a: 1}", "the file")
