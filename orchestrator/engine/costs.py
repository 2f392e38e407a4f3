"""What stages cost, learned from finished ones that are like them."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from trainables.errors import UserError
from trainables.expression import Stage, from_json

if TYPE_CHECKING:
    from orchestrator.engine.store import Store


def likeness(stage: Stage) -> str:
    """What decides a stage's cost: its type and hyperparameters, and the model at the root of its chain.

    The seed does not, nor which task an encoder was trained on before.
    """
    base = stage
    while base.inputs:
        base = base.inputs[0]
    form = stage.canonical()
    fields = {name: value for name, value in form["fields"].items() if name != "seed" and not _is_input(stage, name)}
    corpus = getattr(stage, "corpus", None)  # how much text there is decides most of a pretraining's cost
    text = [corpus.key] if isinstance(corpus, Stage) else []
    told = [form["type"], fields, len(stage.inputs), form.get("fingerprints"), base.key, *text]
    return json.dumps(told, sort_keys=True)


def _is_input(stage: Stage, name: str) -> bool:
    value = getattr(stage, name)
    return isinstance(value, Stage) or (isinstance(value, tuple) and any(isinstance(item, Stage) for item in value))


@dataclasses.dataclass(frozen=True)
class Cost:
    """One stage's cost.

    Attributes:
        seconds: Wall time in its worker.
        gpu_seconds: The same times its share of a GPU.
    """

    seconds: float
    gpu_seconds: float


class CostModel:
    """Median cost of like stages; stages that are like none so far cost as much as others of their type."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Cost]] = defaultdict(list)
        self._of_type: dict[str, list[float]] = defaultdict(list)

    def observe(self, stage: Stage, result: dict[str, Any]) -> None:
        """Takes a finished stage's cost in."""
        cost = result.get("cost", {})
        self._seen[likeness(stage)].append(Cost(cost.get("seconds", 0.0), cost.get("gpu_seconds", 0.0)))
        self._of_type[type(stage).__name__].append(cost.get("seconds", 0.0))

    def known(self, stage: Stage) -> Cost | None:
        """The median cost of like stages, or None where there is none."""
        costs = self._seen.get(likeness(stage))
        if not costs:
            return None
        return Cost(
            statistics.median(cost.seconds for cost in costs), statistics.median(cost.gpu_seconds for cost in costs)
        )

    def seconds(self, stage: Stage) -> float | None:
        """Expected seconds: of like stages, else the mean of its type, else None."""
        known = self.known(stage)
        if known is not None:
            return known.seconds
        of_type = self._of_type.get(type(stage).__name__)
        return statistics.fmean(of_type) if of_type else None


def from_store(store: Store) -> CostModel:
    """Learns from every finished stage of a store, whatever sweep it was made for."""
    model = CostModel()
    for key, result in store.results(store.storage.names("stages")).items():
        form = store.stage_json(key)
        if form is None:
            continue
        try:
            model.observe(from_json(form), result)
        except (UserError, OSError):  # made by another version, or its data is gone: nothing to learn
            continue
    return model
