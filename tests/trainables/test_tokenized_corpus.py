from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import transformers

from tests.trainables.tiny import Finished, MemoryContext, finish, finished, pretrained
from trainables import masked_lm
from trainables.context import PIECES, TOKENIZER
from trainables.data import corpora, miniature
from trainables.errors import UserError
from trainables.stages import MaskedLanguageModel, TokenizedCorpus, WordPieceVocabulary
from trainables.tokenized_corpus import run
from trainables.training import packed_corpus, tokenizers


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "some.txt"
    path.write_text("\n".join(miniature.corpus("general")[:90]) + "\n", encoding="utf-8")
    return path


def tokenized(start: Path, corpus: Path, folder: Path, **options: object) -> tuple[TokenizedCorpus, Finished]:
    settings = {"max_length": 32, **options}
    stage = TokenizedCorpus(str(corpus), pretrained(start), **settings)  # type: ignore[arg-type]
    return stage, finished(stage, folder, start)


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_its_rows_are_those_of_the_text(
    model: str, corpus: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    start: Path = request.getfixturevalue(model)
    _, made = tokenized(start, corpus, tmp_path)
    tokenizer = tokenizers.load(start)
    expected = packed_corpus.pack(corpora.read(str(corpus)), tokenizer, 32)
    packed = packed_corpus.load(tmp_path / PIECES)
    rows = [
        [part.pieces[start : start + length].tolist() for start, length in zip(part.starts, part.lengths, strict=True)]
        for part in (packed, expected)
    ]
    assert rows[0] == rows[1]
    facts = made.result.facts
    assert facts["sequences"] == len(rows[0])
    assert facts["tokens"] == sum(map(len, rows[0])) - 2 * len(rows[0])
    assert facts["texts"] == 90
    assert tokenizers.load(tmp_path / TOKENIZER).pieces == tokenizer.pieces


def test_unknown_pieces_are_counted(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("the éé one 中\n" * 40, encoding="utf-8")
    _, made = tokenized(bert, tmp_path / "corpus.txt", tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(bert))
    pieces = tokenizer.tokenize("the éé one 中")
    share = pieces.count("[UNK]") / (len(pieces) + 1)  # with the separator
    assert made.result.facts["unknown_share"] == pytest.approx(share)
    assert share > 0


def test_its_sequences_are_as_long_as_the_tokenizers_model_takes(bert: Path, corpus: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(bert, short)
    wrapped = transformers.AutoTokenizer.from_pretrained(str(bert), model_max_length=48)
    wrapped.save_pretrained(str(short))
    _, made = tokenized(short, corpus, tmp_path / "out", max_length=512)
    assert (made.result.facts["max_length"], made.result.facts["max_length_asked"]) == (48, 512)
    assert packed_corpus.load(tmp_path / "out" / PIECES).limit == 48


def test_it_tells_how_far_it_is(bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_corpus, "_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(packed_corpus, "_CHARACTERS_AT_ONCE", 200)
    stage = TokenizedCorpus(str(corpus), pretrained(bert), 32)
    context = MemoryContext(tmp_path, bert, due=lambda asked: True)
    seen, _ = finish(run(stage, context))
    steps = [progress.step for progress in seen if progress.phase == "tokenize"]
    assert steps == sorted(steps)
    assert len(set(steps)) > 5
    assert steps[-1] == 90
    assert {progress.total for progress in seen if progress.phase == "tokenize"} == {90}
    assert context.saved is not None, "so that whoever stops it need not wait for its end"


def test_a_corpus_that_cannot_be_used_is_refused_before_it_is_tokenized(bert: Path, tmp_path: Path) -> None:
    texts = "the one\n" * 5_000
    for name, content, said in (
        ("latin", texts.encode() + b"\xe9\n", "byte 1 of line 5001 is 0xe9"),
        ("blank", b"\n", "is empty: it has 0 texts"),
        ("short", b"the one\n", "max_length=32 needs more than 30"),
    ):
        path = tmp_path / f"{name}.txt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            tokenized(bert, path, tmp_path / name)
    assert not (tmp_path / "latin" / PIECES).exists()


def test_a_share_of_a_corpus_is_part_of_a_larger_one(bert: Path, corpus: Path, tmp_path: Path) -> None:
    texts = []
    for share in (0.3, 0.7):
        stage, made = tokenized(bert, corpus, tmp_path / str(share), share=share, min_words=4)
        sieve = corpora.Sieve(stage.min_words, stage.share, stage.seed)
        texts.append(list(corpora.read(stage.corpus, sieve=sieve)))
        assert made.result.facts["texts"] == len(texts[-1])
    assert set(texts[0]) < set(texts[1])


# --- masked-language modelling on it -------------------------------------------------------------------------


def test_a_model_on_it_ends_as_on_its_text(bert: Path, corpus: Path, tmp_path: Path) -> None:
    stage, made = tokenized(bert, corpus, tmp_path / "corpus")
    settings = {"batch_size": 8, "epochs": 2, "learning_rate": 1e-3}
    plain = MaskedLanguageModel(str(corpus), pretrained(bert), max_length=32, **settings)  # type: ignore[arg-type]
    on_it = MaskedLanguageModel(stage, pretrained(bert), **settings)  # type: ignore[arg-type]
    _, expected = finish(masked_lm.run(plain, MemoryContext(tmp_path / "plain", bert)))
    _, found = finish(masked_lm.run(on_it, MemoryContext(tmp_path / "on_it", bert, inputs={stage: made})))
    assert found == expected
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("plain", "on_it")]
    assert weights[0] == weights[1]


def test_pieces_of_another_tokenizer_are_refused(bert: Path, corpus: Path, tmp_path: Path) -> None:
    wider = tmp_path / "wider.txt"
    wider.write_text("xyzzy plugh\n" * 40)
    words = WordPieceVocabulary(str(wider), pretrained(bert), len(tokenizers.load(bert).pieces) + 2)
    inputs = {words: finished(words, tmp_path / "words", bert)}
    stage = TokenizedCorpus(str(corpus), words, 32)
    inputs[stage] = finished(stage, tmp_path / "corpus", bert, inputs)
    on_it = MaskedLanguageModel(stage, pretrained(bert))
    own = len(tokenizers.load(bert).pieces)
    said = (
        r"the tokenizer of the corpus \(pieces of some.txt\) is another one than that of init \(.*\): "
        rf"it has {own + 2} pieces, the other {own}"
    )
    with pytest.raises(UserError, match=said):
        finish(masked_lm.run(on_it, MemoryContext(tmp_path / "run", bert, inputs=inputs)))


def test_sequences_that_the_model_does_not_take_are_refused(bert: Path, corpus: Path, tmp_path: Path) -> None:
    stage, made = tokenized(bert, corpus, tmp_path / "corpus", max_length=80)  # its tokenizer does not say
    assert made.result.facts["max_length"] == 80
    on_it = MaskedLanguageModel(stage, pretrained(bert))
    with pytest.raises(UserError, match=r"max_length=80, but the model takes 64 pieces at most; .* max_length=64"):
        finish(masked_lm.run(on_it, MemoryContext(tmp_path / "run", bert, inputs={stage: made})))
