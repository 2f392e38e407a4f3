from __future__ import annotations

from trainables.errors import did_you_mean


def test_the_nearest_choice_is_named() -> None:
    assert did_you_mean("biobrt", ["biobert", "bert"]) == "; did you mean 'biobert'? (choices: bert, biobert)"
    assert did_you_mean("BioBERT", ["biobert"]) == "; did you mean 'biobert'? (choices: biobert)"
    assert did_you_mean("x", ["biobert"]) == "; choices: biobert"


def test_what_was_given_is_no_better_choice() -> None:
    assert did_you_mean("biobert", ["biobert", "bert"]) == "; choices: bert, biobert"
