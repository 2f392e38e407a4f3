from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainables.tiny import MemoryContext, finish, pretrained
from trainables.context import TOKENIZER, Result
from trainables.data import miniature
from trainables.errors import UserError
from trainables.stages import WordPieceVocabulary
from trainables.training import tokenizers
from trainables.vocabulary import run


def expanded(base: Path, folder: Path, texts: list[str], more: int, **options: object) -> tuple[list[str], Result]:
    """The expanded vocabulary's pieces, and the stage's result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    size = len(tokenizers.load(base).pieces) + more
    stage = WordPieceVocabulary(str(folder / "corpus.txt"), pretrained(base), size, **options)  # type: ignore[arg-type]
    _, result = finish(run(stage, MemoryContext(folder, base)))
    return (folder / TOKENIZER / "vocab.txt").read_text(encoding="utf-8").splitlines(), result


@pytest.fixture(scope="module")
def domain(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Result]:
    """An expansion of the general miniature's words by the domain's."""
    folder = tmp_path_factory.mktemp("domain")
    pieces, result = expanded(bert, folder, miniature.corpus("domain"), 60)
    return folder / TOKENIZER, pieces, result


_TEXTS = st.lists(st.text("abcxyzéµ≥ .", min_size=1, max_size=30).map(lambda text: f"{text} abcabc xyzzy"), min_size=2)


@given(_TEXTS, st.integers(1, 40))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_bases_pieces_keep_their_numbers(bert: Path, tmp_path: Path, texts: list[str], more: int) -> None:
    pieces, result = expanded(bert, tmp_path, texts, more)
    base = tokenizers.load(bert)
    assert pieces[: len(base.pieces)] == base.pieces
    assert len(pieces) == len(set(pieces)) == result.facts["size"] <= result.facts["size_asked"]
    loaded = tokenizers.load(tmp_path / TOKENIZER)
    assert loaded.pieces == pieces
    assert (loaded.prefix, loaded.suffix, loaded.pad) == (base.prefix, base.suffix, base.pad)


def test_an_ordinary_tokenizer_comes_out(bert: Path, domain: tuple[Path, list[str], Result]) -> None:
    folder, pieces, _ = domain
    ours = transformers.AutoTokenizer.from_pretrained(str(folder))
    base = transformers.AutoTokenizer.from_pretrained(str(bert))
    assert type(ours) is type(base)
    assert ours.is_fast
    assert ours.model_max_length == base.model_max_length
    assert ours.special_tokens_map == base.special_tokens_map
    assert ours.convert_tokens_to_ids(pieces) == list(range(len(pieces)))
    assert ours("THE Ones")["input_ids"] == ours("the ones")["input_ids"]
    from_the_list = transformers.BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)})
    for text in miniature.corpus("domain")[:50]:
        encoded = ours(text)["input_ids"]
        assert encoded == from_the_list(text)["input_ids"]
        assert ours.decode(encoded, skip_special_tokens=True) == base.decode(
            base(text)["input_ids"], skip_special_tokens=True
        )


def test_facts_tell_how_much_shorter_the_corpus_becomes(bert: Path, domain: tuple[Path, list[str], Result]) -> None:
    folder, pieces, result = domain
    facts = result.facts
    texts = miniature.corpus("domain")
    base = tokenizers.load(bert)
    lengths = [
        sum(len(encoding.ids) for encoding in tokenizer.backend.encode_batch(texts, add_special_tokens=False))
        for tokenizer in (base, tokenizers.load(folder))
    ]
    assert [facts["pieces_before"], facts["pieces_after"]] == lengths
    assert facts["ratio"] == lengths[1] / lengths[0] < 0.97
    new = pieces[len(base.pieces) :]
    assert facts["new_pieces"] == len(new) == 60
    assert facts["new_continuations"] == sum(piece.startswith("##") for piece in new)
    assert facts["texts"] == facts["texts_in_all"] == len(texts)
    assert facts["words_left_out"] == 0


def test_a_cased_base_keeps_its_cases(bert: Path, tmp_path: Path) -> None:
    cased = tmp_path / "cased"
    shutil.copytree(bert, cased)
    (cased / "tokenizer.json").unlink()
    settings = json.loads((cased / "tokenizer_config.json").read_text())
    (cased / "tokenizer_config.json").write_text(json.dumps({**settings, "do_lower_case": False}))
    texts = ["EGFR egfr EGFR", "the EGFR Inhibitor", "EGFR Inhibitor"]
    new = {}
    for name, base in (("cased", cased), ("uncased", bert)):
        pieces, _ = expanded(base, tmp_path / f"of {name}", texts, 30)
        new[name] = set(pieces[len(tokenizers.load(base).pieces) :])
    assert {"EGFR", "Inhibitor"} <= new["cased"]
    assert {"egfr", "inhibitor"} <= new["uncased"]
    assert not any(piece != piece.lower() for piece in new["uncased"])
    wrapped = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "of cased" / TOKENIZER))
    assert wrapped.tokenize("EGFR Inhibitor") == ["EGFR", "Inhibitor"]


def test_pieces_that_were_added_to_the_base_keep_their_numbers(bert: Path, tmp_path: Path) -> None:
    """As entity markers are: they lie behind the base's own word pieces."""
    marked = tmp_path / "marked"
    shutil.copytree(bert, marked)
    wrapped = transformers.AutoTokenizer.from_pretrained(str(bert))
    wrapped.add_tokens(["@DRUG$", "@GENE$"])
    wrapped.save_pretrained(str(marked))
    before = tokenizers.load(marked)
    assert before.pieces[-2:] == ["@DRUG$", "@GENE$"]
    texts = ["@DRUG$ inhibits xyzzy", "xyzzy and @GENE$"]
    pieces, result = expanded(marked, tmp_path / "out", texts, 5)
    assert pieces[: len(before.pieces)] == before.pieces
    after = tokenizers.load(tmp_path / "out" / TOKENIZER)
    assert after.pieces == pieces
    assert result.facts["new_pieces"] > 0
    own = after.wrapped("@DRUG$ xyzzy @GENE$", add_special_tokens=False)["input_ids"]
    assert own == [pieces.index(piece) for piece in ("@DRUG$", "xyzzy", "@GENE$")]
    assert before.wrapped("@DRUG$ @GENE$", add_special_tokens=False)["input_ids"] == [own[0], own[2]]


def test_a_base_with_a_bare_list_of_pieces_gives_a_whole_tokenizer(bert: Path, tmp_path: Path) -> None:
    """As the early models on the hub have: the class follows from the model's configuration."""
    bare = tmp_path / "bare"
    shutil.copytree(bert, bare)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    pieces, _ = expanded(bare, tmp_path / "out", ["xyzzy xyzzy", "xyzzy"], 5)
    assert pieces[-1] == "xyzzy"
    assert tokenizers.load(tmp_path / "out" / TOKENIZER).pieces == pieces


def test_too_few_new_pieces_are_told_and_none_refused(
    bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, result = expanded(bert, tmp_path / "few", ["xyzzy xyzzy"], 500)
    assert 0 < result.facts["new_pieces"] < 500
    assert result.facts["size"] < result.facts["size_asked"]
    assert "useful new pieces of 500 asked for" in caplog.text
    known = tokenizers.load(bert).pieces[-1]
    with pytest.raises(UserError, match=r"has 0 pieces that the base \(.*\) lacks .* needs at least 1"):
        expanded(bert, tmp_path / "none", [known] * 3, 5)


@pytest.mark.parametrize("more", [0, -3])
def test_a_size_that_is_not_above_the_bases_is_refused(bert: Path, tmp_path: Path, more: int) -> None:
    own = len(tokenizers.load(bert).pieces)
    said = rf"size={own + more} must be above the {own} pieces of the base \(.*\); give at least {own + 1}"
    with pytest.raises(UserError, match=said):
        expanded(bert, tmp_path, ["xyzzy xyzzy"], more)


def test_a_base_that_has_no_word_pieces_is_refused(roberta: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"base=roberta\d* has a tokenizer of type BPE; it must be of type WordPiece"):
        expanded(roberta, tmp_path, ["xyzzy xyzzy"], 5)


def test_a_base_whose_numbers_have_a_gap_is_refused(bert: Path, tmp_path: Path) -> None:
    gap = tmp_path / "gap"
    shutil.copytree(bert, gap)
    form = json.loads((gap / "tokenizer.json").read_text())
    vocabulary = form["model"]["vocab"]
    del vocabulary[max(set(vocabulary) - {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, key=len)]
    (gap / "tokenizer.json").write_text(json.dumps(form))
    (gap / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(UserError, match="there must be no gap"):
        expanded(gap, tmp_path / "out", ["xyzzy xyzzy"], 5)


def test_only_the_texts_that_are_asked_for_count(bert: Path, tmp_path: Path) -> None:
    texts = ["xyzzy xyzzy xyzzy", "plugh plugh"] * 20
    pieces, result = expanded(bert, tmp_path, texts, 50, min_words=3)
    assert "xyzzy" in pieces
    assert "plugh" not in pieces
    assert (result.facts["texts"], result.facts["texts_in_all"]) == (20, 40)
    _, drawn = expanded(bert, tmp_path / "drawn", texts, 50, share=0.5, seed=1)
    assert 5 < drawn.facts["texts"] < 35


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(verbosity)
