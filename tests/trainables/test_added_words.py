"""Vocabularies of byte pairs and unigram models, expanded by whole words."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from pathlib import Path

import pytest
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from tests.trainables.tiny import MemoryContext, finish, pretrained
from trainables.added_words import run
from trainables.context import TOKENIZER, Result
from trainables.data import added_words, miniature
from trainables.errors import UserError
from trainables.stages import AddedWords
from trainables.training import tokenizers

KINDS = ("gpt2", "t5")
_NUMBER = itertools.count()


def expanded(base: Path, folder: Path, texts: list[str], more: int) -> tuple[list[str], Result]:
    """The new words, and the stage's result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    size = len(tokenizers.load(base).pieces)
    stage = AddedWords(str(folder / "corpus.txt"), pretrained(base), size + more)
    _, result = finish(run(stage, MemoryContext(folder, base)))
    return tokenizers.load(folder / TOKENIZER).pieces[size:], result


@pytest.fixture(params=KINDS)
def base(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


_TEXTS = st.lists(
    st.text("abcxyzéµ≥AB_9 .-", min_size=1, max_size=30).map(lambda text: f"{text} xqxqxq xyzzy"), min_size=2
)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=_TEXTS, more=st.integers(1, 40))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_bases_pieces_keep_their_numbers_and_a_new_word_is_one_piece(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, texts: list[str], more: int
) -> None:
    base: Path = request.getfixturevalue(kind)
    folder = tmp_path / str(next(_NUMBER))
    new, result = expanded(base, folder, texts, more)
    own, loaded = tokenizers.load(base), tokenizers.load(folder / TOKENIZER)
    assert loaded.pieces == [*own.pieces, *new]
    assert len(set(new)) == len(new) == result.facts["new_pieces"] <= more
    assert (loaded.prefix, loaded.suffix, loaded.pad, loaded.longest) == (own.prefix, own.suffix, own.pad, own.longest)
    for number, word in enumerate(new, start=len(own.pieces)):
        for text in (f"aa {word} bb", f"({word})", word):
            assert loaded.backend.encode(text, add_special_tokens=False).ids.count(number) == 1, text
        assert number not in loaded.backend.encode(f"aa {word}s b{word}", add_special_tokens=False).ids


def test_text_without_new_words_is_read_as_before(base: Path, tmp_path: Path) -> None:
    new, _ = expanded(base, tmp_path, miniature.corpus("domain"), 60)
    own, loaded = tokenizers.load(base), tokenizers.load(tmp_path / TOKENIZER)
    without = [text for text in miniature.corpus("general")[:200] if not set(text.split()) & set(new)]
    assert len(without) > 50
    for text in without:
        assert own.backend.encode(text).ids == loaded.backend.encode(text).ids


def test_an_ordinary_tokenizer_comes_out(base: Path, tmp_path: Path) -> None:
    expanded(base, tmp_path / "made", miniature.corpus("domain"), 60)
    ours = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "made" / TOKENIZER))
    own = transformers.AutoTokenizer.from_pretrained(str(base))
    assert type(ours) is type(own)
    assert ours.is_fast
    assert ours.special_tokens_map == own.special_tokens_map
    ours.save_pretrained(str(tmp_path / "again"))
    again = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "again"))
    shorter = 0
    for text in miniature.corpus("domain")[:20]:
        ids = ours(text)["input_ids"]
        assert again(text)["input_ids"] == ids
        shorter += len(own(text)["input_ids"]) - len(ids)
    assert shorter > 20


def test_facts_tell_how_much_shorter_the_corpus_becomes(base: Path, tmp_path: Path) -> None:
    texts = miniature.corpus("domain")
    new, result = expanded(base, tmp_path, texts, 60)
    facts = result.facts
    lengths = [
        sum(len(encoding.ids) for encoding in tokenizer.backend.encode_batch(texts, add_special_tokens=False))
        for tokenizer in (tokenizers.load(base), tokenizers.load(tmp_path / TOKENIZER))
    ]
    # A text's first word has no blank before it, which makes another piece of it to GPT-2.
    assert facts["pieces_before"] == pytest.approx(lengths[0], rel=0.01)
    assert facts["pieces_after"] == pytest.approx(lengths[1], rel=0.01)
    assert facts["ratio"] == facts["pieces_after"] / facts["pieces_before"] < 0.9
    assert facts["size"] == facts["base_size"] + len(new) == facts["size_asked"]
    more, again = expanded(base, tmp_path / "more", texts, 120)
    assert more[:60] == new, "the best come first"
    assert again.facts["ratio"] < facts["ratio"]


def test_frequent_words_come_before_those_that_no_model_would_learn(base: Path, tmp_path: Path) -> None:
    texts = ["qxqx " * 6, "zvzvzvzvzvzvzvzv " * 4, "wjwj", "the the"]
    new, result = expanded(base, tmp_path, texts, 10)
    assert new == ["qxqx", "zvzvzvzvzvzvzvzv"]
    assert result.facts["size"] < result.facts["size_asked"]


def test_fewer_words_than_asked_for_are_said(base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        expanded(base, tmp_path, ["qxqx qxqx"], 10)
    assert "has 1 useful new words of 10 asked for" in caplog.text


def test_words_are_those_of_the_normalised_text(gpt2: Path, tmp_path: Path) -> None:
    for path in gpt2.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    form = json.loads((tmp_path / "tokenizer.json").read_text())
    form["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(form))
    rule = tokenizers.load(tmp_path).backend
    rule.normalizer = normalizers.Lowercase()
    counts = added_words.counts(rule.normalizer)
    for stretch in ("QXQX.", "qxqx", "(Qxqx)"):
        counts.add(stretch)
    words = added_words.words(counts.counts())
    assert words == {"qxqx": 3}
    new = added_words.best(words, rule, 1)
    assert added_words.expanded(rule, new).encode("a QXQX b").tokens == ["a", " qxqx", "\u0120b"]


def test_impossible_expansions_are_refused(base: Path, bert: Path, tmp_path: Path) -> None:
    texts = miniature.corpus("domain")[:20]
    with pytest.raises(UserError, match=r"AddedWords.size=500 must be above the 500 pieces .*; give at least 501"):
        expanded(base, tmp_path, texts, 0)
    with pytest.raises(UserError, match=r"of type WordPiece; it must be of type BPE or Unigram.*WordPieceVocabulary"):
        expanded(bert, tmp_path, texts, 10)
    with pytest.raises(UserError, match=r"has 0 words that the base .* lacks"):
        expanded(base, tmp_path, ["9 ,", "."], 10)
