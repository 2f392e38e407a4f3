"""Students of masked-language models: their layers, their embeddings, and what a new piece begins as."""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables import tiny
from trainables.errors import UserError
from trainables.training import heads, models, students, tokenizers
from trainables.training.students import AddedPieces
from trainables.training.tokenizers import Tokenizer

NEW = ["studyteam", "##azole", "reportzz", "##qq", "\u00e9t\u00e9"]


def expanded(base: Path, folder: Path, new: list[str]) -> Path:
    """A model folder's tokenizer with further pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(base / "config.json", folder)
    text = (base / "vocab.txt").read_text(encoding="utf-8")
    (folder / "vocab.txt").write_text(text + "".join(f"{piece}\n" for piece in new), encoding="utf-8")
    transformers.BertTokenizerFast.from_pretrained(str(folder)).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six layers; its tokenizer's own vocab.txt lies there, as the added reads it."""
    return tiny.bert(tmp_path_factory.mktemp("teacher"), layers=6)


@pytest.fixture(scope="module")
def base(teacher_folder: Path) -> Tokenizer:
    return tokenizers.load(teacher_folder)


@pytest.fixture(scope="module")
def added(teacher_folder: Path, base: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> AddedPieces:
    folder = expanded(teacher_folder, tmp_path_factory.mktemp("expanded"), NEW)
    return AddedPieces.of(base, tokenizers.load(folder))


def _inputs(pieces: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, pieces, (3, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.distilbert])
def test_with_all_layers_a_student_is_its_teacher(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path)
    tokenizer = tokenizers.load(folder)
    nothing = AddedPieces.of(tokenizer, tokenizer)
    teacher = models.masked_lm(folder, 0).eval()
    student = students.from_layers(teacher, (0, 1), nothing, "mean", 0).eval()
    inputs = _inputs(300)
    assert torch.equal(student(**inputs).logits, teacher(**inputs).logits)
    assert student.config.tie_word_embeddings
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight
    mine, theirs = dict(student.named_parameters()), dict(teacher.named_parameters())
    assert not {value.data_ptr() for value in mine.values()} & {value.data_ptr() for value in theirs.values()}


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.t5])
def test_a_generative_student_is_made_of_its_teachers_layers(make: Callable[..., Path], tmp_path: Path) -> None:
    folder = make(tmp_path, layers=3)
    teacher, base = models.generative(folder).eval(), tokenizers.load(folder)
    nothing = AddedPieces.of(base, base)
    every, some = (students.from_layers(teacher, layers, nothing, "mean", 0).eval() for layers in ((0, 1, 2), (1, 2)))
    inputs = _inputs(300)
    if teacher.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    assert torch.equal(every(**inputs).logits, teacher(**inputs).logits)
    states, own = teacher.state_dict(), some.state_dict()
    taken = {name for name in own if not torch.equal(own[name], states[name])}
    assert taken
    for name in taken:  # else it is no layer's, or of every first layer: T5's positions
        source = re.sub(r"(?<=h\.|k\.)\d", lambda found: str(int(found[0]) + 1), name, count=1)
        assert torch.equal(own[name], states[source]), name
    assert not any("relative_attention_bias" in name for name in taken)
    for layers in ((0, 3), (5,)):
        with pytest.raises(UserError, match=r"GenerativeLMDistillation.layers=.* has 3 \(0 to 2\)"):
            students.from_layers(teacher, layers, nothing, "mean", 0, "GenerativeLMDistillation")


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.distilbert])
def test_a_head_is_its_features_and_its_matrix(make: Callable[[Path], Path], tmp_path: Path) -> None:
    model = models.masked_lm(make(tmp_path), 0).eval()
    heads.check(model, "it")
    inputs = _inputs(300)
    seen = heads.features(model, model.base_model(**inputs).last_hidden_state)
    whole = model(**inputs).logits
    assert torch.allclose(heads.logits(model, seen), whole, atol=1e-6)
    assert torch.allclose(heads.logits(model, seen, 70), whole[..., :70], atol=1e-6)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    model = models.masked_lm(tiny.albert(tmp_path), 0)
    with pytest.raises(UserError, match=r"the teacher is a albert; .*bert, camembert, distilbert"):
        heads.check(model, "the teacher")


def test_a_student_has_the_chosen_layers_and_the_head(teacher_folder: Path, added: AddedPieces) -> None:
    teacher = models.masked_lm(teacher_folder, 0)
    student = students.from_layers(teacher, (1, 4, 5), added, "mean", 0)
    assert student.config.num_hidden_layers == len(student.bert.encoder.layer) == 3
    for place, source in enumerate((1, 4, 5)):
        mine, theirs = (
            model.bert.encoder.layer[at].state_dict() for model, at in ((student, place), (teacher, source))
        )
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    mine, theirs = student.cls.state_dict(), teacher.cls.state_dict()
    for name in theirs:
        assert torch.equal(mine[name][: len(theirs[name])], theirs[name])


def test_new_pieces_begin_as_the_mean_of_their_parts(
    teacher_folder: Path, base: Tokenizer, added: AddedPieces, tmp_path: Path
) -> None:
    """Embedding and output bias, so its logit is the mean of its parts'; and it stays so when saved."""
    teacher = models.masked_lm(teacher_folder, 0)
    with torch.no_grad():
        teacher.cls.predictions.bias.copy_(torch.randn(len(base.wrapped), generator=torch.Generator().manual_seed(1)))
    made = students.from_layers(teacher, (0,), added, "mean", 0)
    models.save(made, teacher_folder, tmp_path)
    for student in (made, transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path))):
        known = added.known
        rows = student.get_input_embeddings().weight
        assert rows is student.get_output_embeddings().weight
        assert len(rows) == student.config.vocab_size == known + len(NEW)
        assert torch.equal(rows[:known], teacher.get_input_embeddings().weight)
        word = list(base.wrapped("studyteam", add_special_tokens=False)["input_ids"])
        assert len(word) > 1
        for number, parts in zip((known, known + 1), (word, added.parts[1]), strict=True):
            assert torch.allclose(rows[number], rows[list(parts)].mean(dim=0))
        logits = student.eval()(**_inputs(known)).logits
        assert torch.allclose(logits[..., known], logits[..., word].mean(dim=-1), atol=1e-5)


def test_new_pieces_begin_at_random_by_option(teacher_folder: Path, added: AddedPieces) -> None:
    teacher = models.masked_lm(teacher_folder, 0)
    made = [students.from_layers(teacher, (0,), added, "random", seed) for seed in (0, 0, 1)]
    first, again, other = (model.get_input_embeddings().weight[added.known :].detach() for model in made)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std()) == pytest.approx(teacher.config.initializer_range, rel=0.3)
    assert not made[0].get_output_embeddings().bias[added.known :].any()


@given(word=st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=14))
def test_parts_are_what_the_old_tokenizer_makes(base: Tokenizer, word: str) -> None:
    """Of a whole word; and of the end of one, those that follow where the word's beginning is a piece of its own."""
    vocabulary = base.wrapped.get_vocab()
    whole = [piece.id for piece in base.backend.model.tokenize(word)]
    assert list(students.parts_of(word, vocabulary)) == whole
    assert list(students.parts_of(f"##{word}", vocabulary)) == [vocabulary[f"##{letter}"] for letter in word]
    if len(whole) > 1:
        first = next(piece for piece, number in vocabulary.items() if number == whole[0])
        assert list(students.parts_of(f"##{word.removeprefix(first)}", vocabulary)) == whole[1:]


def test_the_longest_match_comes_first() -> None:
    vocabulary = {piece: number for number, piece in enumerate(["az", "##a", "##z", "##azo", "##ole", "##le", "ole"])}
    assert students.parts_of("##azole", vocabulary) == (3, 5)
    assert students.parts_of("azole", vocabulary) == (0, 4)
    assert students.parts_of("##azolx", vocabulary) == ()


def test_what_the_old_vocabulary_cannot_spell_begins_as_unknown(base: Tokenizer, added: AddedPieces) -> None:
    assert added.parts[NEW.index("\u00e9t\u00e9")] == (base.wrapped.unk_token_id,)
    assert added.size == added.known + len(NEW)


def test_another_width_begins_at_random(teacher_folder: Path, added: AddedPieces) -> None:
    teacher = models.masked_lm(teacher_folder, 0)
    make = functools.partial(students.at_random, teacher, 3, 16, None, added)
    student, again, other = make(0), make(0), make(1)
    config = student.config
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (16, 2, 32)
    assert (config.num_hidden_layers, config.vocab_size) == (3, added.size)
    assert torch.equal(student.get_input_embeddings().weight, again.get_input_embeddings().weight)
    assert not torch.equal(student.get_input_embeddings().weight, other.get_input_embeddings().weight)
    assert student(**_inputs(added.size)).logits.shape == (3, 12, added.size)
    layer = students.projection(16, 32, 0)
    assert layer.bias is None
    assert layer(torch.zeros(5, 16)).shape == (5, 32)


def test_layers_that_the_teacher_lacks_are_refused(teacher_folder: Path, added: AddedPieces) -> None:
    teacher = models.masked_lm(teacher_folder, 0)
    with pytest.raises(UserError, match=r"layers=\[0, 5, 6, 11\] .* has 6 \(0 to 5\); leave out 6, 11"):
        students.from_layers(teacher, (0, 5, 6, 11), added, "mean", 0)


def test_heads_divide_the_width(teacher_folder: Path, added: AddedPieces) -> None:
    teacher = models.masked_lm(teacher_folder, 0)
    with pytest.raises(UserError, match="=15 must be a multiple of the teacher's number of heads, 2; give heads=1"):
        students.at_random(teacher, 1, 15, None, added, 0)
    with pytest.raises(UserError, match="hidden_size=16 must be a multiple of heads, 5; give heads=4"):
        students.at_random(teacher, 1, 16, 5, added, 0)
    assert students.at_random(teacher, 1, 15, 3, added, 0).config.num_attention_heads == 3


def test_a_vocabulary_that_is_no_expansion_is_refused(teacher_folder: Path, base: Tokenizer, tmp_path: Path) -> None:
    larger = tokenizers.load(expanded(teacher_folder, tmp_path / "larger", NEW))
    with pytest.raises(UserError, match="is 'studyteam' in the teacher's vocabulary and missing in the corpus's"):
        AddedPieces.of(larger, base)
    lines = (teacher_folder / "vocab.txt").read_text().splitlines()
    lines[100], lines[101] = lines[101], lines[100]
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(teacher_folder / "config.json", other)
    (other / "vocab.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"piece 100 is .*; tokenize the corpus with the teacher's tokenizer, or with"):
        AddedPieces.of(base, tokenizers.load(other))


def test_byte_pairs_are_expanded_by_added_words_alone(roberta: Path, tmp_path: Path) -> None:
    base = tokenizers.load(roberta)
    assert AddedPieces.of(base, base).parts == ()
    shutil.copytree(roberta, tmp_path / "more")
    path = tmp_path / "more" / "tokenizer.json"
    content: dict[str, Any] = json.loads(path.read_text())
    content["model"]["vocab"]["studyteam"] = len(base.wrapped)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"'studyteam' .* is new but no added token.*with AddedWords"):
        AddedPieces.of(base, tokenizers.load(tmp_path / "more"))
