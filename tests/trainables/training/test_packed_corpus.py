from __future__ import annotations

from pathlib import Path

import pyarrow.ipc
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data import miniature
from trainables.errors import UserError
from trainables.training import batches, packed_corpus, tokenizers
from trainables.training.batches import Packed


def rows_of(packed: Packed) -> list[list[int]]:
    """Every row as :meth:`Packed.inputs` gives it to a model."""
    found: list[list[int]] = []
    for batch in batches.for_evaluation(packed.planned, packed.limit, 256):
        inputs = packed.inputs(batch, "cpu")
        for row, pieces, there in zip(batch.rows, inputs["input_ids"], inputs["attention_mask"], strict=True):
            found.append([int(row), *pieces[there.bool()].tolist()])
    return [row[1:] for row in sorted(found)]


def written(path: Path, texts: list[str], tokenizer: tokenizers.Tokenizer, max_length: int) -> packed_corpus.Written:
    *_, last = packed_corpus.write(path, packed_corpus.rows(texts, tokenizer, max_length), tokenizer, max_length)
    return last


def test_text_is_packed_without_loss(bert: Path) -> None:
    tokenizer = tokenizers.load(bert)
    texts = miniature.corpus("general")[:40]
    packed = packed_corpus.pack(texts, tokenizer, 32)
    rows = torch.split(packed.pieces, packed.planned.tolist())
    assert [len(row) for row in rows[:-1]] == [32] * (len(rows) - 1)
    shown = [piece for row in rows for piece in row[1:-1].tolist()]
    separator = tokenizer.wrapped.sep_token_id
    expected = [
        piece
        for text in texts
        for piece in [*tokenizer.wrapped(text, add_special_tokens=False)["input_ids"], separator]
    ]
    assert shown == expected


@pytest.mark.parametrize("rows", [2, 10, 51, 1000])
def test_held_out_rows_are_never_trained_on(rows: int) -> None:
    train, held_out = packed_corpus.hold_out(rows)
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(rows))
    assert len(held_out) == max(1, round(0.02 * rows))


@pytest.mark.parametrize("model", ["bert", "roberta"])
@pytest.mark.parametrize("at_once", [1, 100, packed_corpus._ROWS_AT_ONCE])
def test_rows_read_from_a_file_are_those_in_memory(
    model: str, at_once: int, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers.load(request.getfixturevalue(model))
    texts = miniature.corpus("domain")[:200]
    expected = packed_corpus.pack(texts, tokenizer, 24)
    monkeypatch.setattr(packed_corpus, "_ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(packed_corpus, "_CHARACTERS_AT_ONCE", 500)
    done = written(tmp_path / "pieces.arrow", texts, tokenizer, 24)
    packed = packed_corpus.load(tmp_path / "pieces.arrow")
    assert rows_of(packed) == rows_of(expected)
    assert packed.planned.tolist() == expected.planned.tolist()
    assert (packed.limit, packed.pad, packed.types) == (24, tokenizer.pad, None)
    frame = len(tokenizer.prefix) + len(tokenizer.suffix)
    assert done.rows == len(expected.planned)
    assert done.pieces == int(expected.planned.sum()) - frame * done.rows


def test_the_file_is_mapped_and_readable_by_anyone(bert: Path, tmp_path: Path) -> None:
    tokenizer = tokenizers.load(bert)
    path = tmp_path / "pieces.arrow"
    written(path, miniature.corpus("general")[:100], tokenizer, 32)
    packed = packed_corpus.load(path)
    assert packed.pieces.nbytes <= path.stat().st_size < packed.pieces.nbytes + 4, "it is the file itself"
    with pyarrow.ipc.open_file(path) as file:
        assert file.read_all()["pieces"].to_pylist() == rows_of(packed)
    before = path.read_bytes()
    packed.pieces[:] = 0
    assert path.read_bytes() == before


_PARTS = st.sampled_from([*"ab é.-", "  ", "\t", "\u0301", "\u00a0", "中", "the", "[MASK]", " [SEP] ", "ß"])
_TEXTS = st.lists(_PARTS, min_size=1, max_size=20).map("".join)


@given(st.lists(_TEXTS, min_size=1, max_size=30), st.integers(4, 20))
@settings(max_examples=60)
def test_cutting_depends_on_the_text_alone(bert: Path, texts: list[str], max_length: int) -> None:
    """However many texts are tokenized together: the oracle is the whole stream, cut once."""
    tokenizer = tokenizers.load(bert)
    stream = [piece for text in texts for piece in [*_ids(tokenizer, text), *tokenizer.suffix]]
    width = packed_corpus.capacity(tokenizer, max_length)
    expected = [
        [*tokenizer.prefix, *stream[start : start + width], *tokenizer.suffix] for start in range(0, len(stream), width)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_corpus, "_TEXTS_AT_ONCE", 2)
        patch.setattr(packed_corpus, "_REMEMBERED", 3)
        found = [row.tolist() for block in packed_corpus.rows(texts, tokenizer, max_length) for row in block]
    assert found == expected


def _ids(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.wrapped(text, add_special_tokens=False)["input_ids"]
    return found


def test_rows_longer_than_the_model_takes_are_refused(bert: Path, tmp_path: Path) -> None:
    path = tmp_path / "pieces.arrow"
    written(path, miniature.corpus("general")[:100], tokenizers.load(bert), 48)
    assert packed_corpus.load(path, 48).limit == 48
    with pytest.raises(UserError, match=r"max_length=48, but the model takes 32 .* give .* max_length=32"):
        packed_corpus.load(path, 32)


@pytest.mark.parametrize("texts", [[], ["a b c"]])
def test_less_than_two_rows_are_refused(texts: list[str], bert: Path, tmp_path: Path) -> None:
    tokenizer = tokenizers.load(bert)
    with pytest.raises(UserError, match="max_length=32 needs more than 30"):
        packed_corpus.pack(texts, tokenizer, 32)
    with pytest.raises(UserError, match="max_length=32 needs more than 30"):
        list(packed_corpus.write(tmp_path / "pieces.arrow", packed_corpus.rows(texts, tokenizer, 32), tokenizer, 32))
