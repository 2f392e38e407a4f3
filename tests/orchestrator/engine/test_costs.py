"""What stages cost, learned from those that are like them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orchestrator.engine import costs
from orchestrator.engine.costs import Cost, CostModel, likeness
from orchestrator.engine.store import Store
from tests.noop import Sleep
from trainables.expression import Stage
from trainables.stages import FineTune, MaskedLanguageModel, MaskedLMDistillation, RandomInit, TokenizedCorpus

RANDOM = RandomInit("mini:general", hidden_size=16, layers=1, heads=2)
MODEL = MaskedLanguageModel("mini:general", RANDOM)
BASELINE = FineTune("gad", MODEL, "mini")


def took(seconds: float, gpu: float = 0.0) -> dict[str, object]:
    return {"metrics": {}, "cost": {"seconds": seconds, "gpu_seconds": gpu}}


@pytest.mark.parametrize(
    "like",
    [
        dataclasses.replace(BASELINE, seed=5),
        FineTune("gad", FineTune("ddi", MODEL, "mini"), "mini"),
        FineTune("gad", FineTune("hoc", MODEL, "mini", seed=3), "mini", seed=3),
    ],
)
def test_neither_the_seed_nor_the_task_before_matters(like: Stage) -> None:
    assert likeness(like) == likeness(BASELINE)


@pytest.mark.parametrize(
    "unlike",
    [
        FineTune("ddi", MODEL, "mini"),
        dataclasses.replace(BASELINE, epochs=50),
        dataclasses.replace(BASELINE, train_limit=32),
        dataclasses.replace(BASELINE, max_length=32),
        FineTune("gad", MaskedLanguageModel("mini:general", dataclasses.replace(RANDOM, layers=2)), "mini"),
        MODEL,
    ],
)
def test_task_settings_and_architecture_matter(unlike: Stage) -> None:
    assert likeness(unlike) != likeness(BASELINE)


def test_how_many_stages_one_starts_from_matters_but_not_which() -> None:
    one, two, three = (Sleep(name) for name in "abc")
    like = [Sleep("x", (one, two)), Sleep("x", (one, three))]
    assert likeness(like[0]) == likeness(like[1])
    assert likeness(Sleep("x", (one,))) != likeness(like[0])


def test_known_costs_are_medians_of_like_stages() -> None:
    model = CostModel()
    assert model.known(BASELINE) is None
    assert model.seconds(BASELINE) is None
    for seconds in (1.0, 2.0, 90.0):
        model.observe(dataclasses.replace(BASELINE, seed=int(seconds)), took(seconds, seconds / 2))
    assert model.known(BASELINE) == Cost(2.0, 1.0)
    assert model.seconds(BASELINE) == 2.0
    other = FineTune("ddi", MODEL, "mini")
    assert model.known(other) is None
    assert model.seconds(other) == pytest.approx(31.0), "the mean of its type"
    assert model.seconds(MODEL) is None


def test_a_store_teaches_what_it_holds_and_passes_over_what_it_cannot_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    gone = tmp_path / "corpus.txt"
    gone.write_text("some text\n")
    stages = [BASELINE, dataclasses.replace(BASELINE, seed=1), MaskedLanguageModel(str(gone), RANDOM)]
    for stage in stages:
        store.publish(stage.key, store.working_folder(stage.key), stage.to_json(), took(4.0))
    store.publish("0" * 32, store.working_folder("0" * 32), {"stage": "FromTheFuture"}, took(1.0))
    store.publish("1" * 32, store.working_folder("1" * 32), {"stage": "FineTune"}, took(1.0))
    store.storage.write(f"stages/{stages[1].key}/stage.json", b"{torn")
    gone.unlink()
    model = costs.from_store(store)
    assert model.known(BASELINE) == Cost(4.0, 0.0)
    assert model.seconds(MODEL) is None


def test_how_much_text_a_distillation_reads_matters() -> None:
    def on(share: float, seed: int = 0) -> str:
        corpus = TokenizedCorpus("mini:domain", MODEL, share=share)
        return likeness(MaskedLMDistillation(MODEL, corpus, layers=(0,), seed=seed))

    assert on(1.0) == on(1.0, seed=3)
    assert on(1.0) != on(0.5)
