"""Distillation of masked-language models, with and without new pieces, on tiny models."""

from __future__ import annotations

import dataclasses
import io
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
from tests.trainables.training.test_students import expanded
from trainables.data import miniature
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import FineTune, MaskedLanguageModel, MaskedLMDistillation, RandomInit, TokenizedCorpus
from trainables.training import parallel, seeds
from trainables.training.batches import Batch
from trainables.vekd import Distillation, Sources, run

LENGTH = 24


@dataclasses.dataclass(frozen=True)
class Made:
    """A teacher, and corpora in its pieces and in those of a vocabulary that expands its own."""

    teacher: Path
    plain: TokenizedCorpus
    more: TokenizedCorpus
    inputs: Mapping[Stage, Finished]

    def stage(self, corpus: TokenizedCorpus, **options: Any) -> MaskedLMDistillation:
        settings = {"layers": (0, 2), "epochs": 2, "batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-3}
        return MaskedLMDistillation(pretrained(self.teacher), corpus, **{**settings, **options})

    def context(self, folder: Path, **options: Any) -> MemoryContext:
        return MemoryContext(folder, self.teacher, **{"inputs": self.inputs, **options})

    def objective(self, folder: Path, stage: MaskedLMDistillation) -> Distillation:
        return Distillation(stage, Sources.of(stage, self.context(folder)), "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("vekd")
    teacher = tiny.bert(folder / "teacher", layers=3)
    text = folder / "domain.txt"
    texts = miniature.corpus("domain")[:40]
    text.write_text("".join(f"{line}\n" for line in texts))
    known = set((teacher / "vocab.txt").read_text().split())
    words = sorted({word for line in texts for word in line.split() if word not in known})
    tokenizer = expanded(teacher, folder / "expanded", words[:80])
    inputs = {}
    stages = []
    for number, start in enumerate((teacher, tokenizer)):
        stage = TokenizedCorpus(str(text), pretrained(start), max_length=LENGTH)
        inputs[stage] = finished(stage, folder / str(number), start)
        stages.append(stage)
    return Made(teacher, *stages, inputs)


def _masked(objective: Distillation, batch: Batch, epoch: int) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """What the models read, the pieces that were there, which are to be predicted, and which are ordinary."""
    inputs = objective.packed.inputs(batch, "cpu")
    pieces, there = inputs["input_ids"], inputs["attention_mask"].bool()
    chance = seeds.generator(objective._stage.seed, "mask", epoch, int(batch.rows[0]))
    inputs["input_ids"], chosen = objective._masking.apply(pieces, there, chance)
    ordinary = there & (pieces < objective.added.known)
    return inputs, pieces, chosen, ordinary


def _by_the_book(objective: Distillation, batch: Batch, epoch: int, teacher: Any) -> Tensor:
    """Section 3.3 with the models' ordinary outputs at every position, as the released script computes it."""
    stage = objective._stage
    inputs, pieces, chosen, ordinary = _masked(objective, batch, epoch)
    own = objective.student(**inputs, output_hidden_states=True)
    with torch.no_grad():
        told = teacher(**inputs, output_hidden_states=True)
    cut = own.logits[..., : told.logits.shape[-1]][ordinary]
    kl = nn.KLDivLoss(reduction="batchmean")(
        functional.log_softmax(cut / stage.temperature, -1),
        functional.softmax(told.logits[ordinary] / stage.temperature, -1),
    )
    mse = functional.mse_loss(cut, told.logits[ordinary], reduction="sum") / len(cut)
    states, wanted = own.hidden_states[-1][ordinary], told.hidden_states[-1][ordinary]
    cosine = functional.cosine_embedding_loss(states, wanted, torch.ones(len(states)))
    found = stage.mlm_weight * functional.cross_entropy(own.logits[chosen], pieces[chosen])
    weighted = {stage.kl_weight: kl * stage.temperature**2, stage.mse_weight: mse, stage.cosine_weight: cosine}
    for weight, loss in weighted.items():
        found = found + torch.clamp(weight * loss - stage.tolerance, min=0)
    return found


@pytest.mark.parametrize("tolerance", [0.0, 0.5])
@pytest.mark.parametrize("replacement", ["bert", "mask"])
def test_its_loss_is_that_of_the_paper(made: Made, tmp_path: Path, tolerance: float, replacement: str) -> None:
    stage = made.stage(made.more, tolerance=tolerance, replacement=replacement, mse_weight=0.3, mlm_weight=0.8)
    objective = made.objective(tmp_path, stage)
    objective.model.eval()  # no dropout, whose draws differ
    teacher = transformers.AutoModelForMaskedLM.from_pretrained(str(made.teacher)).eval()
    for epoch, batch in enumerate(objective.batches(0)[:3]):
        assert (objective.packed.inputs(batch, "cpu")["input_ids"] >= objective.added.known).any()
        found, expected = objective.loss(batch, epoch), _by_the_book(objective, batch, epoch, teacher)
        assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        parameters = list(objective.model.parameters())
        for own, other in zip(
            torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True
        ):
            assert torch.allclose(own, other, rtol=1e-3, atol=1e-5)


def test_without_new_pieces_and_tolerance_it_is_distilbert(made: Made, tmp_path: Path) -> None:
    """All attended positions are distilled, of the whole vocabulary, and no piece is masked but by BERT's rule."""
    stage = made.stage(made.plain, mse_weight=0.3)
    objective = made.objective(tmp_path, stage)
    objective.model.eval()
    batch = objective.batches(0)[0]
    inputs, _, chosen, ordinary = _masked(objective, batch, 0)
    assert torch.equal(ordinary, inputs["attention_mask"].bool())
    assert 0.05 < float(chosen.float().mean()) < 0.25
    teacher = transformers.AutoModelForMaskedLM.from_pretrained(str(made.teacher)).eval()
    own, told = (model(**inputs, output_hidden_states=True) for model in (objective.student, teacher))
    flat = [output.logits.flatten(0, 1) for output in (own, told)]
    kl = functional.kl_div((flat[0] / 2).log_softmax(-1), (flat[1] / 2).softmax(-1), reduction="batchmean") * 4
    mse = (flat[0] - flat[1]).square().sum(-1).mean()
    states = [output.hidden_states[-1].flatten(0, 1) for output in (own, told)]
    cosine = (1 - functional.cosine_similarity(*states)).mean()
    pieces = objective.packed.inputs(batch, "cpu")["input_ids"]
    mlm = functional.cross_entropy(own.logits[chosen], pieces[chosen])
    expected = (2 * kl + 0.3 * mse + 5 * cosine + mlm).detach()
    assert float(objective.loss(batch, 0).detach()) == pytest.approx(float(expected), rel=1e-5)


def test_distillation_sends_no_gradient_to_new_positions(made: Made, tmp_path: Path) -> None:
    for mlm_weight in (0.0, 1.0):
        objective = made.objective(tmp_path / str(mlm_weight), made.stage(made.more, mlm_weight=mlm_weight))
        states: list[Tensor] = []

        def keep(module: nn.Module, given: Any, output: Any, kept: list[Tensor] = states) -> None:
            output.last_hidden_state.retain_grad()
            kept.append(output.last_hidden_state)

        objective.student.base_model.register_forward_hook(keep)
        batch = objective.batches(0)[0]
        _, _, chosen, ordinary = _masked(objective, batch, 0)
        objective.loss(batch, 0).backward()
        new = chosen & ~ordinary
        assert new.any()
        gradient = states[0].grad
        assert gradient is not None
        assert gradient[new].any() == bool(mlm_weight)
        assert gradient[ordinary].any(dim=-1).all()
        rows = objective.student.get_input_embeddings().weight.grad[objective.added.known :]
        assert rows.any() == bool(mlm_weight), "the teacher says nothing of new pieces, and none is ever seen"


def test_a_batch_of_new_pieces_alone_learns_from_the_text(made: Made, tmp_path: Path) -> None:
    objective = made.objective(tmp_path, made.stage(made.more))
    known = objective.added.known
    objective.packed = dataclasses.replace(objective.packed, pieces=torch.full_like(objective.packed.pieces, known))
    loss = objective.loss(objective.batches(0)[0], 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value.grad).all() for value in objective.model.parameters() if value.grad is not None)
    passed = objective._passed(objective.batches(0)[0], seeds.generator(0))
    assert {name: float(passed.terms[name].detach()) for name in ("kl", "cosine", "mse")} == {
        "kl": 0,
        "cosine": 0,
        "mse": 0,
    }


def test_it_learns_and_its_teacher_does_not(made: Made, tmp_path: Path) -> None:
    stage = made.stage(made.more, epochs=6, learning_rate=5e-3, mlm_weight=20)
    objective = made.objective(tmp_path / "before", stage)
    before = {name: value.clone() for name, value in objective._teacher.state_dict().items()}
    loss = objective.loss(objective.batches(0)[0], 0)
    loss.backward()
    assert all(value.grad is None for value in objective._teacher.parameters())
    assert not objective._teacher.training
    assert all(torch.equal(value, before[name]) for name, value in objective._teacher.state_dict().items())
    _, result = finish(run(stage, made.context(tmp_path)))
    first, last = result.history[0], result.history[-1]
    for name in ("loss", "dev/loss", "dev/loss_new"):
        assert last[name] < first[name]
    assert [entry["resource"] for entry in result.history] == [1, 2, 3, 4, 5, 6]
    assert {"dev/kl", "dev/cosine", "dev/mse", "dev/loss", "dev/accuracy", "dev/accuracy_new"} <= set(result.metrics)
    assert result.metrics == {name: value for name, value in last.items() if name.startswith("dev/")}
    facts = result.facts
    assert (facts["layers"], facts["hidden_size"], facts["new_pieces"]) == (2, 32, 80)
    assert 0.05 < facts["new_share"] < 0.9
    for class_ in (transformers.AutoModelForMaskedLM, transformers.AutoModel):
        assert class_.from_pretrained(str(tmp_path / "model")).config.vocab_size == facts["vocabulary"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "model"))
    assert len(tokenizer) == facts["vocabulary"]


def test_metrics_of_all_masked_pieces_are_those_of_both_kinds(made: Made, tmp_path: Path) -> None:
    objective = made.objective(tmp_path, made.stage(made.more))
    metrics = finish(objective.evaluate(0))[1]  # type: ignore[arg-type, call-overload]
    assert metrics == finish(objective.evaluate(0))[1] | {"resource": 1.0}  # type: ignore[arg-type, call-overload]
    low, high = sorted([metrics["dev/loss_new"], metrics["dev/loss_ordinary"]])  # type: ignore[index, call-overload]
    assert low <= metrics["dev/loss"] <= high  # type: ignore[index, call-overload]


@pytest.mark.parametrize("options", [{}, {"hidden_size": 16}], ids=["layers", "projection"])
def test_stopped_at_any_yield_it_ends_with_the_same_bits(made: Made, tmp_path: Path, options: dict[str, int]) -> None:
    stage = made.stage(made.more, **{"batch_size": 16, **options})
    seen, whole = finish(run(stage, made.context(tmp_path / "whole")))
    weights = (tmp_path / "whole" / "model" / "model.safetensors").read_bytes()
    for stop in range(1, len(seen) + 1, 6):
        folder = tmp_path / str(stop)
        result, _ = run_with_stops(run, stage, folder, made.teacher, iter([stop, 1, 2]), inputs=made.inputs)
        assert (folder / "model" / "model.safetensors").read_bytes() == weights, stop
        assert result == whole


def test_the_seed_changes_masks_and_order(made: Made, tmp_path: Path) -> None:
    found = {}
    for name, options in {"0": {}, "1": {"seed": 1}, "alike": {}}.items():
        finish(run(made.stage(made.more, epochs=1, **options), made.context(tmp_path / name)))
        found[name] = (tmp_path / name / "model" / "model.safetensors").read_bytes()
    assert found["0"] == found["alike"] != found["1"]


def test_a_narrower_student_learns_a_projection_that_is_not_saved(made: Made, tmp_path: Path) -> None:
    stage = made.stage(made.more, hidden_size=16, epochs=1)
    objective = made.objective(tmp_path / "before", stage)
    layer = objective._projection
    assert layer is not None
    assert any(value is layer.weight for value in objective.model.parameters())
    context = made.context(tmp_path, due=lambda asked: True)
    _, result = finish(run(stage, context))
    assert context.saved is not None
    state = torch.load(io.BytesIO(context.saved), weights_only=True)["model"]
    assert not torch.equal(state["projection.weight"], layer.weight)
    assert not any(name.startswith("teacher") for name in state)
    model = transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path / "model"))
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (16, 2)
    assert result.facts["parameters"] == sum(value.numel() for value in model.parameters())
    metrics = finish(objective.evaluate(0))[1]  # type: ignore[arg-type, call-overload]
    assert result.metrics["dev/cosine"] < metrics["dev/cosine"]  # type: ignore[index, call-overload]


def test_it_goes_on_from_first_weights(made: Made, tmp_path: Path) -> None:
    """The fourth step of Adapt-and-Distill: an adapted student learns from an adapted teacher."""
    start = made.stage(made.more)
    finish(run(start, made.context(tmp_path / "start")))
    other = dataclasses.replace(start, init=start, seed=1)
    given = {**made.inputs, start: Finished(tmp_path / "start", None)}  # type: ignore[arg-type]
    objective = Distillation(other, Sources.of(other, made.context(tmp_path / "on", inputs=given)), "cpu")
    model = transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path / "start" / "model"))
    mine = objective.student.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in model.state_dict().items())
    plain = dataclasses.replace(other, corpus=made.plain)
    sources = Sources.of(plain, made.context(tmp_path / "no", inputs=given))
    with pytest.raises(UserError, match=r"init has another vocabulary \(\d+ pieces\) than its corpus \(\d+\)"):
        Distillation(plain, sources, "cpu")


def test_a_task_is_learned_from_it(made: Made, tmp_path: Path) -> None:
    student = made.stage(made.more)
    done = finished(student, tmp_path / "student", made.teacher, made.inputs)
    task = FineTune("hoc", student, "mini", epochs=2, batch_size=8, train_limit=32, max_length=LENGTH)
    metrics = finished(task, tmp_path / "task", made.teacher, {student: done}).result.metrics
    assert 0 <= metrics["test/micro_f1"] <= 1


@pytest.mark.parametrize("make", [tiny.roberta, tiny.distilbert])
def test_other_architectures_are_distilled(make: Any, tmp_path: Path) -> None:
    teacher = make(tmp_path / "teacher")
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{line}\n" for line in miniature.corpus("domain")[:20]))
    corpus = TokenizedCorpus(str(text), pretrained(teacher), max_length=LENGTH)
    inputs = {corpus: finished(corpus, tmp_path / "corpus", teacher)}
    stage = MaskedLMDistillation(pretrained(teacher), corpus, layers=(1,), epochs=2, batch_size=8, learning_rate=1e-3)
    _, result = finish(run(stage, MemoryContext(tmp_path / "run", teacher, inputs=inputs)))
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert (
        transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path / "run" / "model")).config.num_hidden_layers == 1
    )


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_teacher_without_a_head_is_refused_where_its_logits_are_learned(made: Made, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    transformers.AutoModel.from_pretrained(str(made.teacher)).save_pretrained(str(bare))
    transformers.AutoTokenizer.from_pretrained(str(made.teacher)).save_pretrained(str(bare))
    stage = made.stage(made.more)
    context = MemoryContext(tmp_path / "run", bare, inputs=made.inputs)
    with pytest.raises(UserError, match=r"no masked-language head.*MaskedLanguageModel first"):
        finish(run(stage, context))
    states_alone = dataclasses.replace(stage, kl_weight=0.0, mse_weight=0.0, epochs=1)
    _, result = finish(run(states_alone, context))
    assert "dev/kl" not in result.metrics
    assert "dev/cosine" in result.metrics


def test_layers_that_the_teacher_lacks_are_refused_before_anything_runs(made: Made) -> None:
    for teacher in (
        pretrained(made.teacher),
        RandomInit("mini:general", layers=3),
        MaskedLanguageModel("mini:general", RandomInit("mini:general", layers=3)),
    ):
        corpus = TokenizedCorpus("mini:domain", teacher)
        with pytest.raises(UserError, match=r"layers=\[0, 3\] .* has 3 \(0 to 2\); leave out 3"):
            MaskedLMDistillation(teacher, corpus, layers=(0, 3))
    two = MaskedLMDistillation(teacher, corpus, layers=(0, 2))
    with pytest.raises(UserError, match=r"has 2 \(0 to 1\); leave out 2, 4"):
        MaskedLMDistillation(two, corpus, layers=(1, 2, 4))
    assert MaskedLMDistillation(two, corpus, layers=(1, 2, 4), hidden_size=16).hidden_size == 16
    assert MaskedLMDistillation(teacher, corpus, init=two).init == two


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": ()}, r"layers=\[\] must be different layers"),
        ({"layers": (1, 1)}, r"layers=\[1, 1\] must be different"),
        ({"layers": (-1,)}, r"layers=\[-1\] must be different layers of the teacher, from 0 on"),
        ({"heads": 2}, "heads=2 needs a hidden_size"),
        ({"tolerance": -0.1}, "tolerance=-0.1 must be at least 0"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"new_embeddings": "man"}, "did you mean 'mean'"),
        ({"replacement": "masc"}, "did you mean 'mask'"),
        ({"kl_weight": 0, "cosine_weight": 0, "mse_weight": 0, "mlm_weight": 0}, "nothing is learned"),
        ({"micro_batch_size": 0}, "micro_batch_size=0 must be at least 1"),
    ],
)
def test_impossible_values_are_refused(made: Made, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        made.stage(made.more, **options)


@pytest.mark.parametrize("option", ["hidden_size", "heads"])
def test_first_weights_have_a_shape_of_their_own(made: Made, option: str) -> None:
    with pytest.raises(UserError, match=f"{option}=16 is init's already; leave one of them out"):
        made.stage(made.more, init=made.stage(made.more), **{option: 16})


def test_heads_of_layers_taken_over_are_the_teachers(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="heads=4 with layers of the teacher must be its number, 2; leave heads out"):
        made.objective(tmp_path, made.stage(made.more, hidden_size=32, heads=4))
    assert made.objective(tmp_path, made.stage(made.more, hidden_size=32, heads=2))._projection is None


def test_sequences_beyond_the_teachers_positions_are_refused(made: Made, tmp_path: Path) -> None:
    stage = made.stage(made.more)
    short = tiny.bert(tmp_path / "short", positions=16, layers=3)
    with pytest.raises(
        UserError, match="max_length=24 is more than the 16 pieces that the models take; give at most 16"
    ):
        Distillation(stage, Sources.of(stage, MemoryContext(tmp_path / "run", short, inputs=made.inputs)), "cpu")


def test_a_corpus_in_other_pieces_is_refused(made: Made, tmp_path: Path, roberta: Path) -> None:
    stage = made.stage(made.more)
    with pytest.raises(
        UserError, match="tokenize the corpus with the teacher's tokenizer, or with a WordPieceVocabulary"
    ):
        Distillation(stage, Sources.of(stage, MemoryContext(tmp_path / "run", roberta, inputs=made.inputs)), "cpu")


# --- two processes ---------------------------------------------------------------------------------------------------


def _second(made: Made, stage: MaskedLMDistillation, meeting: parallel.Meeting, folder: Path) -> None:
    """Runs a stage as the process of rank 1."""
    torch.set_num_threads(1)
    group = parallel.Group(meeting, 1)
    finish(run(stage, made.context(folder, world=group)))
    group.close()


def test_two_processes_give_the_loss_curve_of_one(made: Made, tmp_path: Path) -> None:
    """Over gloo, with a micro-batch too many for an even share, dropout, and a projection."""
    stage = made.stage(made.more, hidden_size=16, batch_size=12, tolerance=0.1)
    _, alone = finish(run(stage, made.context(tmp_path / "alone")))
    meeting, store = parallel.host("127.0.0.1", 2)
    other = multiprocessing.get_context("spawn").Process(target=_second, args=(made, stage, meeting, tmp_path / "1"))
    other.start()
    try:
        group = parallel.Group(meeting, 0, store)
        _, together = finish(run(stage, made.context(tmp_path / "0", world=group)))
        group.close()
    finally:
        other.join(60)
    assert other.exitcode == 0
    assert len(together.history) == len(alone.history) == 2
    for own, expected in zip(together.history, alone.history, strict=True):
        assert own == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert together.facts == alone.facts
    both = [
        transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path / name / "model")).state_dict()
        for name in ("alone", "0")
    ]
    for name, value in both[0].items():
        assert torch.allclose(value, both[1][name], atol=1e-5), name
