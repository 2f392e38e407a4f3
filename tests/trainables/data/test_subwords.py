"""Byte pairs and unigram models: the same in every process, and what a corpus is spelt with."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys

import pytest

from trainables.data import miniature, subwords
from trainables.errors import UserError

_TEXTS = miniature.corpus("general")[:300]
_PROGRAM = """
import hashlib, json
from trainables.data import miniature, subwords
texts = miniature.corpus("general")[:300]
made = [subwords.byte_pairs(texts, 500), subwords.unigram(texts, 500)]
print(hashlib.sha256(json.dumps(made).encode()).hexdigest())
"""


def test_two_processes_and_any_order_of_texts_give_the_same() -> None:
    own = [subwords.byte_pairs(_TEXTS[::-1], 500), subwords.unigram(_TEXTS[::-1], 500)]
    digest = hashlib.sha256(json.dumps(own).encode()).hexdigest()
    for _ in range(2):
        found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == digest


def test_byte_pairs_are_all_bytes_and_what_is_joined() -> None:
    numbers, merges = subwords.byte_pairs(_TEXTS, 400)
    assert sorted(numbers.values()) == list(range(400))
    assert numbers[subwords.END_OF_TEXT] == 0
    assert len(merges) == 400 - 257
    assert all(first + second in numbers for first, second in merges)


def test_a_unigram_models_pieces_are_t5s_in_order_and_their_probabilities_sum_to_one() -> None:
    scored = subwords.unigram(_TEXTS, 400)
    pieces = [piece for piece, _ in scored]
    assert len(set(pieces)) == len(pieces) == 400
    assert pieces[:3] == ["<pad>", "</s>", "<unk>"]
    assert pieces[-100:] == [f"<extra_id_{number}>" for number in range(99, -1, -1)]
    assert sum(math.exp(score) for _, score in scored[3:-100]) == pytest.approx(1, abs=0.02)
    scores = dict(scored)
    assert scores[subwords.BLANK + "the"] > scores["z"]


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(UserError, match="vocabulary_size=256 does not hold all bytes; it must be at least 257"):
        subwords.byte_pairs(_TEXTS, 256)
    with pytest.raises(UserError, match=r"vocabulary_size=110 does not hold .* sentinels; it must be at least"):
        subwords.unigram(_TEXTS, 110)
    for train in (subwords.byte_pairs, subwords.unigram):
        with pytest.raises(UserError, match="has no words"):
            train([""], 500)
