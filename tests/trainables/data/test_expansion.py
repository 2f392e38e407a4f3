from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data import expansion
from trainables.data.expansion import Cutter, Expansion, Length

CUTTER = Cutter("[UNK]", "##", 100)
LETTERS = "abc"
BASE = ["[PAD]", "[UNK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "ab", "##bc"]
_WORDS = st.dictionaries(st.text(LETTERS + "é", min_size=1, max_size=9), st.integers(1, 9), min_size=1, max_size=20)


def by_hand(word: str, pieces: list[str]) -> list[int]:
    """The rule of Wu et al. 2016: the longest piece first."""
    found: list[int] = []
    start = 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in pieces:
                found.append(pieces.index(piece))
                start = end
                break
        else:
            return [pieces.index("[UNK]")]
    return found


def made(words: dict[str, int]) -> Expansion:
    return Expansion(dict(sorted(words.items())), BASE, CUTTER)


@given(_WORDS)
def test_words_are_cut_by_the_rule(words: dict[str, int]) -> None:
    assert list(CUTTER(list(words), BASE)) == [by_hand(word, BASE) for word in words]


@given(_WORDS, st.integers(1, 12))
def test_new_pieces_are_new_and_no_corpus_gets_longer_by_the_best(words: dict[str, int], wanted: int) -> None:
    spelt = made(words)
    candidates = spelt.candidates(wanted)
    assert not set(candidates) & set(BASE)
    assert len(candidates) == len(set(candidates))
    best = spelt.best(candidates, wanted)
    assert set(best) <= set(candidates)
    assert len(best) == len(set(best)) <= wanted
    expected = [(count, by_hand(word, [*BASE, *best])) for word, count in words.items()]
    unknown = sum(count for count, ids in expected if ids == [1])
    assert spelt.length(best) == Length(sum(count * len(ids) for count, ids in expected), unknown)
    assert unknown <= spelt.length().unknown


def test_the_best_piece_saves_most() -> None:
    """Of one piece each: by trying all of them."""
    words = {"abcabc": 6, "cabb": 5, "bccc": 7, "ab": 50}
    spelt = made(words)
    candidates = spelt.candidates(3)
    lengths = {piece: spelt.length([piece]).pieces for piece in candidates}
    (best,) = spelt.best(candidates, 1)
    assert lengths[best] == min(lengths.values())
    assert best == "bccc", "7 times 3 pieces saved"


def test_what_is_seldom_used_comes_last() -> None:
    spelt = made({"abcabcabcabc": expansion.OFTEN - 1, "cab": expansion.OFTEN})
    assert spelt.best(spelt.candidates(9), 1) == ["cab"], "it saves less, and can be learned"
    assert spelt.best(spelt.candidates(9), 2) == ["cab", "abcabcabcabc"]


def test_a_word_that_was_lost_is_worth_its_letters() -> None:
    spelt = made({"éé": 4, "abab": 4, "cabc": 4})
    assert spelt.length() == Length(4 * (1 + 3 + 3), 4)
    new = spelt.best(spelt.candidates(4), 4)
    assert spelt.length(new).unknown == 0


def test_what_occurs_once_is_no_piece() -> None:
    assert made({"abcabc": 1, "ab": 9}).best(made({"abcabc": 1, "ab": 9}).candidates(5), 5) == []


def test_a_large_corpus_is_trained_on_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"abcabc": 6_000, "cabb": 5_000, "bccc": 7_000, "ab": 50_000, "cc": 2}
    whole = made(words).candidates(4)
    monkeypatch.setattr(expansion, "_TRAINED_ON", 1_000)
    scaled = made(words)
    assert scaled.candidates(4) == [piece for piece in whole if piece != "cc"]
    assert scaled.length().pieces == made(words).length().pieces


_IN_A_PROCESS = """
import hashlib
from tests.trainables.data.test_expansion import of_the_domain
print(hashlib.sha256(repr(of_the_domain()).encode()).hexdigest())
"""


def of_the_domain() -> list[str]:
    from trainables.data import miniature, vocabulary

    general = vocabulary.train(miniature.corpus("general"), 600)
    words = Counter(word for text in miniature.corpus("domain") for word in text.lower().split())
    spelt = Expansion(dict(sorted(words.items())), general, CUTTER)
    return spelt.best(spelt.candidates(100), 100)


def test_two_processes_choose_the_same_pieces() -> None:
    root = Path(__file__).parents[3]
    found = set()
    for seed, parallel in (("1", "true"), ("2", "false")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": parallel}
        command = [sys.executable, "-c", _IN_A_PROCESS]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())
    here = of_the_domain()
    assert len(here) == 100
    assert found == {hashlib.sha256(repr(here).encode()).hexdigest()}
