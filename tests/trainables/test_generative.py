"""GPT-2 and T5 on a corpus: the losses of appendix E, what flows back from them, and exact resume."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from tests.trainables import tiny
from tests.trainables.tiny import Finished, MemoryContext, finish, finished, pretrained, run_with_stops
from trainables.data import miniature, tasks
from trainables.data.examples import TextExample
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.generative import Modelling, distil, distillation, run, states
from trainables.stages import (
    AddedWords,
    FineTune,
    GenerativeLanguageModel,
    GenerativeLMDistillation,
    RandomInit,
    TeacherOutputs,
    TokenizedCorpus,
)
from trainables.training import classification, encoding, evaluation, models, parallel, seeds, tokenizers
from trainables.training.batches import Batch
from trainables.training.losses import IGNORED
from trainables.training.pretraining_tasks import Exercise

LENGTH = 24
ARCHITECTURES = ["gpt2", "t5"]


@dataclasses.dataclass(frozen=True)
class Made:
    """A teacher, and corpora in its pieces and in those of a vocabulary that expands its own."""

    teacher: Path
    plain: TokenizedCorpus
    more: TokenizedCorpus
    inputs: Mapping[Stage, Finished]

    def stage(self, corpus: TokenizedCorpus, **options: Any) -> GenerativeLMDistillation:
        settings = {"layers": (0, 2), "epochs": 2, "batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3}
        return GenerativeLMDistillation(pretrained(self.teacher), corpus, **{**settings, **options})

    def context(self, folder: Path, **options: Any) -> MemoryContext:
        return MemoryContext(folder, self.teacher, **{"inputs": self.inputs, **options})

    def objective(self, folder: Path, stage: GenerativeLMDistillation) -> Modelling:
        return distillation(stage, self.context(folder))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    teacher = getattr(tiny, request.param)(folder / "teacher", layers=3)
    text = folder / "domain.txt"
    text.write_text("".join(f"{line}\n" for line in miniature.corpus("domain")[:40]))
    start = pretrained(teacher)
    vocabulary = AddedWords(str(text), start, 560)
    inputs = {vocabulary: finished(vocabulary, folder / "vocabulary", teacher)}
    stages = []
    for number, tokenizer in enumerate((start, vocabulary)):
        stage = TokenizedCorpus(str(text), tokenizer, max_length=LENGTH)
        inputs[stage] = finished(stage, folder / str(number), teacher, inputs)
        stages.append(stage)
    return Made(teacher, *stages, inputs)


def _exercise(objective: Modelling, batch: Batch, epoch: int) -> Exercise:
    inputs = objective.packed.inputs(batch, "cpu")
    chance = seeds.generator(objective._seed, "mask", epoch, int(batch.rows[0]))
    return objective._task.exercise(inputs["input_ids"], inputs["attention_mask"].bool(), chance)


def _whole(model: Any, exercise: Exercise, answer: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits and last hidden states as transformers' own forward pass gives them."""
    if answer is None:
        found = model(**exercise.text, output_hidden_states=True)
        return found.logits, found.hidden_states[-1]
    found = model(**exercise.text, decoder_input_ids=answer, output_hidden_states=True)
    return found.logits, found.decoder_hidden_states[-1]


def _by_the_book(objective: Modelling, stage: GenerativeLMDistillation, exercise: Exercise, teacher: Any) -> Tensor:
    logits, own = _whole(objective.student, exercise, exercise.answer)
    with torch.no_grad():
        said, told = _whole(teacher, exercise, exercise.teachers_answer)
    pieces = objective.added.known if objective.added.parts else said.shape[-1]
    cut, wanted = logits[exercise.taught][:, :pieces], said[exercise.teaching][:, :pieces]
    temperature = stage.temperature
    kl = functional.kl_div(
        (cut / temperature).log_softmax(-1), (wanted / temperature).softmax(-1), reduction="batchmean"
    )
    mse = (cut - wanted).square().sum() / len(cut)
    one, other = own[exercise.taught], told[exercise.teaching]
    cosine = functional.cosine_embedding_loss(one, other, torch.ones(len(one)))
    found = stage.lm_weight * functional.cross_entropy(
        logits.flatten(0, 1), exercise.targets.flatten(), ignore_index=IGNORED
    )
    weighted = [(stage.kl_weight, kl * temperature**2), (stage.mse_weight, mse), (stage.cosine_weight, cosine)]
    for weight, loss in weighted:
        found = found + torch.clamp(weight * loss - stage.tolerance, min=0)
    return found


@pytest.mark.parametrize("expands", [False, True], ids=["plain", "expanded"])
def test_its_loss_is_that_of_the_paper(made: Made, tmp_path: Path, expands: bool) -> None:
    tolerance = 0.5 if expands else 0.0
    stage = made.stage(made.more if expands else made.plain, tolerance=tolerance, mse_weight=0.3, lm_weight=0.8)
    objective = made.objective(tmp_path, stage)
    objective.model.eval()  # no dropout, whose draws differ
    teacher = models.generative(made.teacher).eval()
    for epoch, batch in enumerate(objective.batches(0)[:3]):
        exercise = _exercise(objective, batch, epoch)
        if expands:
            assert (exercise.targets >= objective.added.known).any()
        found, expected = objective.loss(batch, epoch), _by_the_book(objective, stage, exercise, teacher)
        assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
        parameters = list(objective.model.parameters())
        for own, other in zip(
            torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True
        ):
            assert torch.allclose(own, other, rtol=1e-3, atol=1e-4)


def test_both_models_read_the_same_text_and_no_new_word(made: Made, tmp_path: Path) -> None:
    objective = made.objective(tmp_path, made.stage(made.more))
    for batch in objective.batches(0):
        exercise = _exercise(objective, batch, 0)
        assert int(exercise.text["input_ids"].max()) < objective.added.known
        assert exercise.teachers_answer is None or int(exercise.teachers_answer.max()) < objective.added.known


def test_distillation_sends_no_gradient_to_positions_of_new_words(made: Made, tmp_path: Path) -> None:
    for lm_weight in (0.0, 1.0):
        objective = made.objective(tmp_path / str(lm_weight), made.stage(made.more, lm_weight=lm_weight))
        seen: list[Tensor] = []

        def keep(module: nn.Module, given: Any, output: Any, kept: list[Tensor] = seen) -> None:
            output.last_hidden_state.retain_grad()
            kept.append(output.last_hidden_state)

        student = objective.student
        (student.decoder if student.config.is_encoder_decoder else student.base_model).register_forward_hook(keep)
        batch = objective.batches(0)[0]
        exercise = _exercise(objective, batch, 0)
        objective.loss(batch, 0).backward()
        gradient = seen[0].grad
        assert gradient is not None
        new = exercise.targets >= objective.added.known
        assert new.any()
        assert not (new & exercise.taught).any()
        asked = exercise.targets != IGNORED
        assert not gradient[~asked].any()
        assert gradient[asked & ~exercise.taught].any() == bool(lm_weight)
        assert gradient[new].any() == bool(lm_weight)
        assert gradient[exercise.taught].any(dim=-1).all()
        if exercise.answer is None:  # nor where a new word stands
            pieces = objective.packed.inputs(batch, "cpu")["input_ids"]
            assert gradient[pieces >= objective.added.known].any() == bool(lm_weight)


def test_new_words_begin_as_the_mean_of_their_old_pieces(made: Made, tmp_path: Path) -> None:
    objective = made.objective(tmp_path, made.stage(made.more))
    rows = objective.student.get_input_embeddings().weight
    assert len(objective.added.parts) == 60
    for place, parts in enumerate(objective.added.parts):
        assert len(parts) > 1
        assert torch.allclose(rows[objective.added.known + place], rows[list(parts)].mean(dim=0))
    chance = made.objective(tmp_path, made.stage(made.more, new_embeddings="random"))
    deviation = chance.student.config.initializer_factor if "t5" in str(made.teacher) else 0.02
    own = chance.student.get_input_embeddings().weight[objective.added.known :]
    assert float(own.std().detach()) == pytest.approx(deviation, rel=0.1)


def test_it_learns_and_its_teacher_does_not(made: Made, tmp_path: Path) -> None:
    stage = made.stage(made.more, epochs=4, learning_rate=5e-3, lm_weight=20, cosine_weight=0)
    objective = made.objective(tmp_path / "before", stage)
    objective.loss(objective.batches(0)[0], 0).backward()
    assert all(value.grad is None for value in objective._teacher.parameters())
    _, result = finish(distil(stage, made.context(tmp_path)))
    first, last = result.history[0], result.history[-1]
    for name in ("loss", "dev/loss"):
        assert last[name] < first[name]
    assert [entry["resource"] for entry in result.history] == [1, 2, 3, 4]
    assert "dev/cosine" not in result.metrics
    assert {"dev/kl", "dev/mse", "dev/loss", "dev/accuracy", "dev/accuracy_new"} <= set(result.metrics)
    facts = result.facts
    assert (facts["layers"], facts["hidden_size"], facts["new_pieces"], facts["vocabulary"]) == (2, 32, 60, 560)
    assert 0.05 < facts["new_share"] < 0.9
    again = models.generative(tmp_path / "model")
    assert again.config.vocab_size == len(transformers.AutoTokenizer.from_pretrained(str(tmp_path / "model"))) == 560
    assert transformers.AutoConfig.from_pretrained(str(tmp_path / "model")).num_hidden_layers == 2


def test_stopped_at_any_yield_it_ends_with_the_same_bits(made: Made, tmp_path: Path) -> None:
    stage = made.stage(made.more, batch_size=16)
    seen, whole = finish(distil(stage, made.context(tmp_path / "whole")))
    weights = (tmp_path / "whole" / "model" / "model.safetensors").read_bytes()
    for stop in range(1, len(seen) + 1, 5):
        folder = tmp_path / str(stop)
        result, _ = run_with_stops(distil, stage, folder, made.teacher, iter([stop, 1, 2]), inputs=made.inputs)
        assert (folder / "model" / "model.safetensors").read_bytes() == weights, stop
        assert result == whole


def test_language_modelling_lowers_the_loss(made: Made, tmp_path: Path) -> None:
    stage = GenerativeLanguageModel(
        made.plain, pretrained(made.teacher), epochs=3, batch_size=16, micro_batch_size=8, learning_rate=3e-3
    )
    _, result = finish(run(stage, made.context(tmp_path)))
    assert result.history[-1]["dev/loss"] < result.history[0]["dev/loss"]
    assert set(result.metrics) == {"dev/loss", "dev/accuracy"}
    model = models.generative(tmp_path / "model")
    assert not torch.equal(
        model.get_input_embeddings().weight, models.generative(made.teacher).get_input_embeddings().weight
    )


def test_states_are_what_the_heads_read(made: Made, tmp_path: Path) -> None:
    objective = made.objective(tmp_path, made.stage(made.plain))
    objective.model.eval()
    exercise = _exercise(objective, objective.batches(0)[0], 0)
    _, expected = _whole(objective.student, exercise, exercise.answer)
    assert torch.allclose(states(objective.student, exercise.text, exercise.answer), expected, atol=1e-6)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_masked_language_model_is_no_teacher(made: Made, bert: Path, tmp_path: Path) -> None:
    stage = made.stage(made.plain)
    with pytest.raises(UserError, match=r"is a bert; generative models that can be trained are gpt2, t5"):
        distillation(stage, MemoryContext(tmp_path, bert, inputs=made.inputs))


def test_a_corpus_of_other_pieces_is_refused(made: Made, tmp_path: Path) -> None:
    other = tiny.t5(tmp_path / "o") if "gpt2" in str(made.teacher) else tiny.gpt2(tmp_path / "o")
    with pytest.raises(UserError, match=r"tokenize the corpus with the teacher's tokenizer, or with .*AddedWords"):
        distillation(made.stage(made.plain), MemoryContext(tmp_path / "run", other, inputs=made.inputs))
    stage = GenerativeLanguageModel(made.more, pretrained(made.teacher))
    with pytest.raises(UserError, match=r"the tokenizer of the corpus .* is another one than that of init"):
        finish(run(stage, made.context(tmp_path / "lm")))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": ()}, r"layers=\[\] must be different layers"),
        ({"layers": (0, 3)}, r"GenerativeLMDistillation.layers=\[0, 3\] .* has 3 \(0 to 2\); leave out 3"),
        ({"tolerance": -0.1}, "tolerance=-0.1 must be at least 0"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"new_embeddings": "man"}, "did you mean 'mean'"),
        ({"kl_weight": 0, "cosine_weight": 0, "mse_weight": 0, "lm_weight": 0}, "nothing is learned"),
        ({"micro_batch_size": 0}, "micro_batch_size=0 must be at least 1"),
    ],
)
def test_impossible_values_are_refused(made: Made, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        made.stage(made.more, **options)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(UserError, match=r"RandomInit.architecture='gpt' is unknown; did you mean 'gpt2'"):
        RandomInit("mini:general", architecture="gpt")
    assert RandomInit("mini:general").key == RandomInit("mini:general", architecture="bert").key


def test_sequences_beyond_its_positions_are_refused(gpt2: Path, tmp_path: Path) -> None:
    short = tiny.gpt2(tmp_path / "short", positions=16)
    corpus = TokenizedCorpus("mini:domain", pretrained(gpt2), max_length=24, share=0.05)
    inputs = {corpus: finished(corpus, tmp_path / "corpus", gpt2)}
    stage = GenerativeLMDistillation(pretrained(short), corpus, layers=(0,))
    with pytest.raises(UserError, match="max_length=24 is more than the 16 pieces"):
        distillation(stage, MemoryContext(tmp_path / "run", short, inputs=inputs))


# --- fine-tuning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["hoc", "pubmedqa", "ncbi_disease"])
def test_tasks_of_every_form_are_learned(made: Made, tmp_path: Path, task: str) -> None:
    stage = FineTune(
        task,
        pretrained(made.teacher),
        "mini",
        epochs=8,
        batch_size=8,
        learning_rate=5e-3,
        train_limit=48,
        warmup_steps=0,
    )
    done = finished(stage, tmp_path, made.teacher)
    assert done.result.history[-1]["loss"] < 0.8 * done.result.history[0]["loss"]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_no_cls_vectors_are_read_of_them(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    start = pretrained(folder)
    task = FineTune("gad", start, "mini", epochs=1, batch_size=8, train_limit=8)
    inputs = {task: finished(task, tmp_path / "task", folder)}
    with pytest.raises(UserError, match=f"a {kind} has no CLS vector"):
        finished(TeacherOutputs(task), tmp_path / "outputs", folder, inputs)
    words = FineTune("ncbi_disease", start, "mini", epochs=1, batch_size=8, train_limit=8)
    inputs = {words: finished(words, tmp_path / "words", folder)}
    assert (finished(TeacherOutputs(words), tmp_path / "logits", folder, inputs).folder / "outputs.parquet").is_file()


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("task", ["hoc", "pubmedqa", "ncbi_disease"])
def test_what_is_said_of_a_text_does_not_depend_on_its_neighbours(
    kind: str, task: str, request: pytest.FixtureRequest
) -> None:
    """Padding on the right is not read: GPT-2 is asked at a text's last piece, T5 at its ``</s>``."""
    folder: Path = request.getfixturevalue(kind)
    known = tasks.get(task)
    model = models.classifier(folder, known, 0).eval()
    splits, _ = classification.splits_for(model, folder, "mini", known, 60, 8, "cpu")
    split = splits["train"]
    together = finish(evaluation.predict(model, split, "cpu", "train"))[1]  # type: ignore[arg-type]
    for row in range(len(split.packed.planned)):
        length = split.packed.planned[row]
        alone = Batch(torch.tensor([row]), int(length), int(length), length[None])
        with torch.inference_mode():
            logits = model(**split.packed.inputs(alone, "cpu")).logits
        found, units = split.units_of(alone, logits)
        assert torch.allclose(found, torch.from_numpy(together)[units], atol=1e-5)  # type: ignore[arg-type, call-overload]


def test_gpt2_reads_a_text_to_its_end_and_pairs_apart(gpt2: Path) -> None:
    tokenizer = tokenizers.load(gpt2)
    end = tokenizer.wrapped.eos_token_id
    assert (tokenizer.prefix, tokenizer.suffix, tokenizer.separator, tokenizer.pad) == ((), (), (end,), end)
    ids = tokenizer.backend.encode("more drugs", "the ones").ids
    assert ids.count(end) == 1
    alone = [tokenizer.backend.encode(text).ids for text in ("more drugs", "the ones")]
    assert ids == [*alone[0], end, *alone[1]]
    model = models.classifier(gpt2, tasks.get("gad"), 0).eval()
    assert model.config.pad_token_id == end
    whole = torch.tensor([[*alone[0], end, end]])
    with torch.inference_mode():
        expected = model.score(model.transformer(whole).last_hidden_state[0, len(alone[0]) - 1])
        found = model(input_ids=whole, attention_mask=torch.tensor([[1] * len(alone[0]) + [0, 0]])).logits[0]
        assert torch.allclose(found, expected, atol=1e-6)
        assert not torch.allclose(model.score(model.transformer(whole).last_hidden_state[0, -1]), expected, atol=1e-6)


def test_gpt2_reads_an_empty_text_as_its_end(gpt2: Path) -> None:
    tokenizer = tokenizers.load(gpt2)
    examples = [TextExample("1", "", 0), TextExample("2", "more drugs", 1)]
    split = encoding.encode(examples, tasks.get("gad"), tokenizer, 32)
    assert split.packed.planned.tolist()[0] == 1
    assert int(split.packed.pieces[0]) == tokenizer.pad


def test_an_added_word_is_one_word_to_label(made: Made, tmp_path: Path) -> None:
    vocabulary = next(stage for stage in made.inputs if isinstance(stage, AddedWords))
    folder = made.inputs[vocabulary].folder / "tokenizer"
    word = transformers.AutoTokenizer.from_pretrained(str(folder)).convert_ids_to_tokens(510)
    tokenizer = tokenizers.load(folder, on_words=True)
    encoding = tokenizer.backend.encode(["the", word, ",", "ones"], is_pretokenized=True, add_special_tokens=False)
    assert encoding.ids[encoding.word_ids.index(1)] == 510
    assert encoding.word_ids.count(1) == 1
    assert set(encoding.word_ids) == {0, 1, 2, 3}


# --- two processes ---------------------------------------------------------------------------------------------------


def _second(made: Made, stage: GenerativeLMDistillation, meeting: parallel.Meeting, folder: Path) -> None:
    """Runs a stage as the process of rank 1."""
    torch.set_num_threads(1)
    group = parallel.Group(meeting, 1)
    finish(distil(stage, made.context(folder, world=group)))
    group.close()


def test_two_processes_give_the_loss_curve_of_one(made: Made, tmp_path: Path) -> None:
    """Over gloo, with a micro-batch too many for an even share, and dropout."""
    stage = made.stage(made.more, batch_size=12, tolerance=0.1)
    _, alone = finish(distil(stage, made.context(tmp_path / "alone")))
    meeting, store = parallel.host("127.0.0.1", 2)
    other = multiprocessing.get_context("spawn").Process(target=_second, args=(made, stage, meeting, tmp_path / "1"))
    other.start()
    try:
        group = parallel.Group(meeting, 0, store)
        _, together = finish(distil(stage, made.context(tmp_path / "0", world=group)))
        group.close()
    finally:
        other.join(60)
    assert other.exitcode == 0
    assert len(together.history) == len(alone.history) == 2
    for own, expected in zip(together.history, alone.history, strict=True):
        assert own == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert together.facts == alone.facts
