from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.trainables.tiny import bert as tiny_bert
from trainables.data import word_counts
from trainables.data.word_counts import WordCounts
from trainables.training import tokenizers

_LETTERS = st.sampled_from([*"aAéÉİß- .,'\t\n\x1c\x00", "中", "\u0301", "\u00a0", "\u2003"])


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> object:
    return tokenizers.load(tiny_bert(tmp_path_factory.mktemp("bert"))).backend


def whole(backend: object, texts: list[str]) -> Counter[str]:
    """The oracle: every text as one, as the tokenizer cuts it to words."""
    found: Counter[str] = Counter()
    for text in texts:
        normal = backend.normalizer.normalize_str(text)  # type: ignore[attr-defined]
        found.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))  # type: ignore[attr-defined]
    return found


@given(st.lists(st.text(_LETTERS, max_size=30), max_size=12), st.integers(1, 5))
def test_words_are_those_of_the_whole_texts(backend: object, texts: list[str], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_counts, "_MOST_STRETCHES", at_once)
        counts = WordCounts(backend)
        for text in texts:
            counts.add(text)
    assert counts.counts() == whole(backend, texts)
    assert list(counts.counts()) == sorted(counts.counts())
    assert counts.left_out == 0


def test_a_tokenizer_of_other_rules_sees_whole_texts() -> None:
    """One that marks the beginning of a text would mark that of every stretch."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.Prepend("^")
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    counts = WordCounts(backend)
    counts.add("a b")
    assert counts.counts() == {"^": 1, "a": 1, "b": 1}


def test_the_rarest_words_are_forgotten_where_there_are_too_many(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_counts, "_MOST_WORDS", 100)
    monkeypatch.setattr(word_counts, "_MOST_STRETCHES", 50)
    counts = WordCounts(tokenizers.load(bert).backend)
    for number in range(1_000):
        counts.add(f"often often word{number}")
    found = counts.counts()
    assert len(found) <= 100
    assert found["often"] == 2_000
    assert sum(found.values()) + counts.left_out == 3_000
