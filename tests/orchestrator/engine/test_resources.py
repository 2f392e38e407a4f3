"""How a cluster is divided among stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine import resources
from orchestrator.engine.resources import PACKINGS, Capacity, Cluster, Request, Shares, estimate_memory, packed_fraction
from trainables.errors import UserError
from trainables.stages import (
    AddedWords,
    CrossValidation,
    FineTune,
    GenerativeLMDistillation,
    MaskedLanguageModel,
    MaskedLMDistillation,
    Pretrained,
    RandomInit,
    TokenizedCorpus,
    WordPieceVocabulary,
)

GIB = 1 << 30
H200 = Cluster(cpus=16, gpus=1, gpu_memory=139 * GIB)
MICRO = MaskedLanguageModel(
    "mini:general", RandomInit("mini:general", hidden_size=16, layers=1, heads=2), micro_batch_size=8
)
SMALL = MaskedLanguageModel("mini:general", RandomInit("mini:general", hidden_size=16, layers=1, heads=2))


@pytest.fixture
def base(tmp_path: Path) -> Pretrained:
    """A folder with BERT-base's configuration; its size is known without its weights."""
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 768, "num_hidden_layers": 12}))
    return Pretrained(str(tmp_path))


@pytest.mark.parametrize("packing", PACKINGS)
def test_as_many_trials_as_planned_fit_on_a_card(packing: int) -> None:
    fraction = packed_fraction(int(80 * GIB / packing), 80 * GIB)
    counted = round(fraction * 10_000)  # Ray counts in ten-thousandths
    assert counted == fraction * 10_000
    assert 10_000 // counted == packing


@given(st.integers(1, 200 * GIB), st.integers(1, 200 * GIB))
def test_a_share_holds_what_it_is_for_and_more_memory_never_means_a_smaller_one(memory: int, more: int) -> None:
    card = 80 * GIB
    fraction = packed_fraction(memory, card)
    assert 0 < fraction <= 1
    assert fraction == 1 or memory <= card * fraction * 1.001
    assert packed_fraction(memory + more, card) >= fraction


def test_without_a_gpu_none_is_asked_for() -> None:
    shares = Shares(gpu_fraction=0.5)
    assert shares.gpu(SMALL, Cluster(cpus=4)) == 0.0
    assert shares.request(SMALL, Cluster(cpus=4)) == Request(1, 0.0)
    assert shares.slots([SMALL], Cluster(cpus=4)) == 4


def test_a_share_grows_when_memory_ran_out_but_not_past_the_card() -> None:
    assert [Shares(gpu_fraction=0.3).gpu(SMALL, H200, factor) for factor in (1, 2, 4)] == [0.3, 0.6, 1.0]
    estimated = Shares().gpu(SMALL, H200)
    assert [Shares().gpu(SMALL, H200, factor) for factor in (1, 2, 16)] == [estimated, 2 * estimated, 1.0]


@pytest.mark.parametrize(
    ("shares", "cluster", "slots"),
    [
        (Shares(), Cluster(2), 2),
        (Shares(threads=2), Cluster(5), 2),
        (Shares(max_concurrent=3), Cluster(8), 3),
        (Shares(max_concurrent=30), Cluster(8), 8),
        (Shares(gpu_fraction=0.25), Cluster(16, 2, 80 * GIB), 8),
        (Shares(gpu_fraction=0.3), Cluster(16, 2, 80 * GIB), 6),
        (Shares(gpu_fraction=1.0), Cluster(16, 2, 80 * GIB), 2),
        (Shares(gpu_fraction=0.1), Cluster(4, 2, 80 * GIB), 4),
        (Shares(threads=8), Cluster(4), 1),
    ],
)
def test_slots(shares: Shares, cluster: Cluster, slots: int) -> None:
    assert shares.slots([SMALL], cluster) == slots


def test_the_estimate_follows_the_shape(base: Pretrained) -> None:
    task = FineTune("gad", base, "mini", batch_size=32, max_length=128)
    known = estimate_memory(task)
    assert 109e6 * 16 < known < 10 * GIB, "BERT-base: at least its weights, gradients and moments"
    assert estimate_memory(FineTune("gad", base, "mini", batch_size=64, max_length=128)) > known
    assert estimate_memory(FineTune("gad", base, "mini", batch_size=32, max_length=256)) > known
    assert estimate_memory(FineTune("gad", task, "mini", batch_size=32, max_length=128)) == known
    assert estimate_memory(FineTune("gad", SMALL, "mini")) < known
    assert estimate_memory(MaskedLanguageModel("mini:general", base, batch_size=32, max_length=128)) > known


def test_an_unreadable_configuration_counts_as_a_base_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    unknown = FineTune("gad", Pretrained(str(tmp_path)), "mini")
    assert 109e6 * 16 < estimate_memory(unknown) < 10 * GIB


# --- handing out ---------------------------------------------------------------------------------------------


def test_only_what_fits_is_handed_out() -> None:
    capacity = Capacity(Shares(), lambda: Cluster(cpus=4, gpus=1, gpu_memory=80 * GIB))
    third = Request(1, 0.3333)
    assert capacity.room([third] * 2, third)
    assert not capacity.room([third] * 3, third)
    assert not capacity.room([Request(4)], Request(1))
    assert capacity.room([], Request(99, 9.0)), "Ray says what never fits"


def test_no_more_than_asked_for_is_handed_out() -> None:
    capacity = Capacity(Shares(max_concurrent=2), lambda: Cluster(cpus=16))
    assert capacity.room([Request(1)], Request(1))
    assert not capacity.room([Request(1)] * 2, Request(1))


def test_a_cluster_that_grows_is_given_a_few_more() -> None:
    capacity = Capacity(Shares(), lambda: Cluster(cpus=4, elastic=True))
    assert capacity.room([Request(1)] * 5, Request(1))
    assert not capacity.room([Request(1)] * 9, Request(1))


def test_more_threads_than_cores_are_refused_unless_machines_may_come() -> None:
    with pytest.raises(UserError, match=r"--threads=8 is more than the 2 CPU cores there are.* give at most 2"):
        Capacity(Shares(threads=8), lambda: Cluster(cpus=2))
    Capacity(Shares(threads=8), lambda: Cluster(cpus=2, elastic=True))


def test_a_gpu_that_joins_a_cluster_later_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "LOOK_AGAIN", 0.0)
    seen = [Cluster(cpus=4, elastic=True), Cluster(cpus=8, gpus=1, gpu_memory=80 * GIB, elastic=True)]
    capacity = Capacity(Shares(gpu_fraction=0.5), lambda: seen.pop(0) if len(seen) > 1 else seen[0])
    assert capacity.cluster.gpus == 1
    assert Shares(gpu_fraction=0.5).request(SMALL, capacity.cluster) == Request(1, 0.5)


def test_what_starts_from_no_weights_needs_no_gpu() -> None:
    folds = tuple(FineTune(f"gad@{k}/3", SMALL.init, "mini") for k in (1, 2, 3))
    for stage in (SMALL.init, CrossValidation(folds)):
        assert Shares().request(stage, H200) == Request(1)
        assert Shares(gpu_fraction=0.5).request(stage, H200) == Request(1)
    assert Shares(gpu_fraction=0.5).slots([CrossValidation(folds), *folds], H200) == 2


# --- several workers for one stage ---------------------------------------------------------------------------


def test_workers_are_for_stages_that_several_can_train() -> None:
    shares = Shares(threads=2, workers=3)
    assert shares.request(MICRO, Cluster(cpus=8)) == Request(2, 0.0, 3)
    assert shares.request(SMALL, Cluster(cpus=8)) == Request(2)
    assert Shares().request(MICRO, Cluster(cpus=8)) == Request(1)


def test_each_of_several_workers_has_a_whole_gpu() -> None:
    node = Cluster(cpus=16, gpus=4, gpu_memory=80 * GIB)
    for shares in (Shares(workers=2), Shares(workers=2, gpu_fraction=0.25)):
        assert shares.request(MICRO, node, 0.5) == Request(1, 1.0, 2)
        assert shares.request(MICRO, node).all_gpus == 2.0
        assert shares.request(SMALL, node).gpus < 1
    assert Shares().request(MICRO, node).gpus < 1


def test_a_stage_of_several_workers_counts_as_often() -> None:
    capacity = Capacity(Shares(workers=2), lambda: Cluster(cpus=4))
    two, one = Request(1, workers=2), Request(1)
    assert capacity.room([two], two)
    assert not capacity.room([two, one], two)
    assert capacity.room([two, one], one)
    on_gpus = Capacity(Shares(workers=2), lambda: Cluster(cpus=16, gpus=3, gpu_memory=80 * GIB))
    whole, half = Request(1, 1.0, 2), Request(1, 0.5)
    assert on_gpus.room([whole, half], half)
    assert not on_gpus.room([whole, half, half], half)
    assert not on_gpus.room([half, half, half], whole)


@pytest.mark.parametrize(
    ("cluster", "slots"),
    [
        (Cluster(5), 2),
        (Cluster(16, 4, 80 * GIB), 2),
        (Cluster(16, 5, 80 * GIB), 2),
        (Cluster(3, 4, 80 * GIB), 1),
    ],
)
def test_slots_of_stages_with_two_workers(cluster: Cluster, slots: int) -> None:
    assert Shares(workers=2).slots([MICRO], cluster) == slots


def test_more_workers_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(UserError, match=r"--workers=3 with --threads=2 is more than the 5 CPU cores.* give at most 2"):
        Capacity(Shares(threads=2, workers=3), lambda: Cluster(cpus=5))
    with pytest.raises(UserError, match=r"--workers=3 is more than the 2 GPUs there are.* give at most 2"):
        Capacity(Shares(workers=3), lambda: Cluster(cpus=16, gpus=2, gpu_memory=80 * GIB))
    Capacity(Shares(workers=3), lambda: Cluster(cpus=2, elastic=True))


def test_memory_is_that_of_a_micro_batch(base: Pretrained) -> None:
    def memory(**sizes: int) -> int:
        return estimate_memory(MaskedLanguageModel("mini:general", base, max_length=128, **sizes))

    assert memory(batch_size=256, micro_batch_size=32) == memory(batch_size=32)
    assert memory(batch_size=16, micro_batch_size=32) == memory(batch_size=16)


def test_a_distillation_on_a_corpus_is_sized_by_its_micro_batch_and_its_vocabulary(base: Pretrained) -> None:
    plain = TokenizedCorpus("mini:domain", base, max_length=512)
    expanded = TokenizedCorpus("mini:domain", WordPieceVocabulary("mini:domain", base, 60_000), max_length=512)
    known = estimate_memory(MaskedLMDistillation(base, plain, batch_size=240, micro_batch_size=8))
    assert estimate_memory(MaskedLMDistillation(base, plain, batch_size=480, micro_batch_size=8)) == known
    assert estimate_memory(MaskedLMDistillation(base, plain, batch_size=240, micro_batch_size=16)) > known
    assert estimate_memory(MaskedLMDistillation(base, expanded, batch_size=240, micro_batch_size=8)) > known
    logits = 8 * 512 * 2 * 30_522 * 4  # of both models in single precision, which they cannot be computed without
    assert known > logits + 110e6 * 16


@pytest.mark.parametrize(
    ("names", "config"),
    [
        (
            ("n_embd", "n_layer", "n_positions"),
            {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_positions": 1024, "vocab_size": 50_257},
        ),
        (
            ("d_model", "num_layers", "d_ff"),
            {"model_type": "t5", "d_model": 512, "num_layers": 6, "d_ff": 2048, "vocab_size": 32_128},
        ),
    ],
)
def test_generative_models_are_sized_by_their_own_names(
    names: tuple[str, ...], config: dict[str, Any], tmp_path: Path
) -> None:
    def stage(name: str, **changed: int) -> GenerativeLMDistillation:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        for file in ("model.safetensors", "tokenizer.json"):
            (folder / file).write_text("{}")
        model = Pretrained(str(folder))
        return GenerativeLMDistillation(model, TokenizedCorpus("mini:domain", model), layers=(0,), micro_batch_size=8)

    known = stage("known")
    for name in names:
        assert estimate_memory(stage(name, **{name: config[name] * 2})) > estimate_memory(known)
    words = AddedWords("mini:domain", known.teacher, 60_000)
    more = GenerativeLMDistillation(
        known.teacher, TokenizedCorpus("mini:domain", words), layers=(0,), micro_batch_size=8
    )
    assert estimate_memory(more) > estimate_memory(known)
    logits = 8 * 512 * 2 * config["vocab_size"] * 4
    assert estimate_memory(known) > logits


def test_what_runs_no_model_needs_no_gpu(base: Pretrained) -> None:
    vocabulary = WordPieceVocabulary("mini:domain", base, 60_000)
    for stage in (vocabulary, TokenizedCorpus("mini:domain", base), TokenizedCorpus("mini:domain", vocabulary)):
        assert Shares().gpu(stage, H200) == 0
