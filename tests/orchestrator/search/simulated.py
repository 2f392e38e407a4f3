"""A search without Ray and without training: DoKTra's real expressions, scores drawn from their keys.

:func:`drive` does what the engine does, in random order: asks the schedule and the proposer, and tells keeper and
proposer of every event, in that order. A :class:`Fuse` kills it at any write to store, leaderboard or journal.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from orchestrator.bookkeeping import Bookkeeper
from orchestrator.doktra import _joint, _staged
from orchestrator.doktra_recipes import Experiment
from orchestrator.engine.schedule import Node, Schedule
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.search.phase import Phase, Search
from orchestrator.search.proposer import StudyProposer
from orchestrator.search.storage import Journal
from search_spaces.doktra import PARAMETERS
from search_spaces.space import Choices, Range, Space
from tests.leaderboard.synthetic import experiment, keyed, result
from trainables.data import tasks
from trainables.expression import Stage

SWEEP = "doktra"
METRIC = "micro_f1"
SLOTS = 3
#: Choices of 64 combinations.
SPACE = Space(
    "small",
    {
        "teacher_epochs": Choices((3,)),
        "teacher_learning_rate": Choices((2e-5,)),
        "beta1": Choices((0.0, 0.3, 0.5, 0.7)),
        "student_epochs": Choices((5, 10)),
        "student_learning_rate": Choices((1e-5,)),
        "epochs": Choices((10,)),
        "learning_rate": Choices((8e-6, 1e-5)),
        "beta2": Choices((0.0, 0.3)),
        "gamma": Choices((0.6, 0.7)),
    },
    PARAMETERS,
)
CONTINUOUS = dataclasses.replace(
    SPACE, name="continuous", dimensions={**SPACE.dimensions, "beta1": Range(0.0, 1.0), "gamma": Range(0.3, 0.6)}
)


def search(
    phases: str = "joint",
    task: str = "gad",
    space: Space = SPACE,
    pick: Mapping[str, Any] | None = None,
    **options: Any,
) -> Search:
    """A search over DoKTra's real expressions."""
    asked: Experiment = experiment(task)
    made = {"joint": _joint, "staged": _staged}[phases](asked, space, () if pick is None else (pick,))
    fields: dict[str, Any] = {"trials": 8, "seeds": (0, 1), "sampler": "random", "identity": {"task": task}}
    return Search("search", tuple(map(_keyed, made)), metric=METRIC, **{**fields, **options})


def _keyed(phase: Phase) -> Phase:
    make = phase.make
    return dataclasses.replace(phase, make=lambda *arguments, **labels: keyed(make(*arguments, **labels)))


class Killed(BaseException):
    """The driver was killed; no ``except Exception`` sees it."""


class Fuse:
    """Kills the driver at a write.

    Attributes:
        left: Writes until then; None never.
    """

    def __init__(self, chance: random.Random, left: int | None = None) -> None:
        self.left = left
        self._chance = chance
        self._burnt = False

    def around(self, write: Callable[..., Any], torn: Callable[..., None] | None = None) -> Callable[..., Any]:
        """A function that writes, killed before it, after it, or (given how) in the middle."""

        def guarded(*arguments: Any, **options: Any) -> Any:
            self._tick(lambda: torn(*arguments) if torn is not None else None)
            answer = write(*arguments, **options)
            self._tick(lambda: None)
            return answer

        return guarded

    def _tick(self, last_words: Callable[[], None]) -> None:
        if self._burnt:
            raise Killed  # what unwinds must not write any more
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self._burnt = True
                if self._chance.random() < 0.5:
                    last_words()
                raise Killed


@contextmanager
def fused(fuse: Fuse) -> Iterator[None]:
    """Puts the fuse around all that a driver writes."""

    def torn(backend: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        with Path(backend._file_path).open("ab") as file:
            file.write(b'{"op_code":5,"worker_')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", fuse.around(JournalFileBackend.append_logs, torn))
        patch.setattr(rows, "write", fuse.around(rows.write))
        for name in ("publish", "write_sweep", "write_failure", "clear_failure"):
            patch.setattr(Store, name, fuse.around(getattr(Store, name)))
        yield


@dataclasses.dataclass
class World:
    """What outlives a driver.

    Attributes:
        root: Of the store.
        search: What is searched.
        chance: Of order, moments and scores.
        fails: Which stages fail.
        trained: How often each stage was trained to its end.
        started: How often one was begun.
    """

    root: Path
    search: Search
    chance: random.Random = dataclasses.field(default_factory=lambda: random.Random(0))
    fails: Callable[[Stage], bool] = lambda stage: False
    policy: str = "best"
    trained: Counter[str] = dataclasses.field(default_factory=Counter)
    started: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def store(self) -> Store:
        """The store, opened anew."""
        return Store(str(self.root))

    @property
    def journal(self) -> Path:
        """Of the studies."""
        return self.root / "studies" / f"{SWEEP}.journal"

    def table(self) -> list[dict[str, Any]]:
        """The leaderboard."""
        return rows.read_table(self.store.filesystem, self.store.root).to_pylist()

    def score(self, key: str, epoch: int = 9) -> float:
        """A stage's dev score after some epochs: its key's, and a little more each epoch."""
        return 0.3 + random.Random(key).random() / 2 + epoch / 100

    def loss(self, stage: Stage, epoch: int) -> float:
        """A pretraining's loss on text held out after some epochs: its key's, and a little less each epoch."""
        return 3 + random.Random(stage.key).random() - epoch / 100


@dataclasses.dataclass
class Worker:
    """A stage under way."""

    node: Node
    keep_model: bool
    finished: bool  # before: there is nothing to train
    epochs: int = 0  # reported
    stop: bool = False


class Driver:
    """One start of the command."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self.schedule = Schedule([], self.store)
        self.keeper = Bookkeeper(SWEEP, [], self.schedule, self.store, world.policy, spared={"finetune"})
        self.journal = Journal(self.store.storage, SWEEP)
        self.proposer = StudyProposer(
            world.search,
            self.journal.open(),
            self.schedule,
            self.keeper,
            record=lambda recipes: self.store.write_sweep(SWEEP, [recipe.to_json() for recipe in recipes]),
            save=self.journal.save,
        )
        self.workers: list[Worker] = []
        self.begun: list[str] = []
        self.most_open = 0

    def run(self) -> Driver:
        """To the end of the search."""
        self.proposer.start()
        for _ in range(100_000):
            if len(self.workers) < SLOTS and (not self.workers or self.world.chance.random() < 0.5) and self._begin():
                continue
            if self.workers:
                self._advance(self.world.chance.choice(self.workers))
                continue
            assert self.schedule.done, "nothing runs, nothing is ready, and yet it is not done"
            assert self.proposer.done, "nothing is left to run, nothing is proposed, and yet it is not done"
            return self
        raise AssertionError("the search does not end")

    def _begin(self) -> bool:
        node = self.schedule.peek()
        while node is None and self.proposer.propose():
            node = self.schedule.peek()
        self.most_open = max(self.most_open, len(self.proposer.open))
        if node is None:
            return False
        self.schedule.next()
        for parent in node.parents:
            assert self.store.result(parent) is not None
            assert parent not in node.weights or self.store.has_model(parent)
        keep = node.stage.makes_model and (node.want_model or self.keeper.keep_model(node))
        finished = self.store.result(node.key) is not None and (self.store.has_model(node.key) or not keep)
        self.workers.append(Worker(node, keep, finished))
        if not finished:
            self.world.started[node.key] += 1
            self.begun.append(node.key)
        return True

    def _advance(self, worker: Worker) -> None:
        node, stage = worker.node, worker.node.stage
        if worker.finished:
            self._finish(worker)
        elif self.world.fails(stage):
            self.workers.remove(worker)
            blocked = self.schedule.failed(node.key, f"{type(stage).__name__} failed by order")
            self.keeper.failed(node, blocked)
            self.proposer.failed(node, blocked)
        elif worker.stop and self.world.chance.random() < 0.8:  # else the worker is at its end before it looks
            self.workers.remove(worker)
            self.schedule.pruned(node.key)
            self.keeper.pruned(node)
            self.proposer.pruned(node)
        elif stage.prunable and worker.epochs < _refinement(stage):
            self._report(worker)
        else:
            self._finish(worker)

    def _report(self, worker: Worker) -> None:
        worker.epochs += 1
        node = worker.node
        total = _refinement(node.stage)
        report = {
            "resource": float(worker.epochs),
            f"dev/{METRIC}": self.world.score(node.key, worker.epochs),
            "dev/loss": self.world.loss(node.stage, worker.epochs),
            "stage_step": worker.epochs,
            "stage_total": total,
        }
        self.keeper.progressed(node, report)
        self.proposer.progressed(node, report)
        worker.stop = worker.stop or self.proposer.wants_pruned(node)

    def _finish(self, worker: Worker) -> None:
        node = worker.node
        found = self.store.result(node.key)
        if not worker.finished:
            folder = self.store.working_folder(node.key)
            (folder / "notes.txt").write_text(node.key)
            if worker.keep_model:
                (folder / "model").mkdir()
                (folder / "model" / "config.json").write_text("{}")
            score = self.world.score(node.key, _refinement(node.stage) if node.stage.prunable else 9)
            metric = tasks.get(node.stage.task).metric if hasattr(node.stage, "task") else METRIC
            found = self.store.publish(node.key, folder, node.stage.to_json(), result(metric, score - 0.1, score))
            self.world.trained[node.key] += 1
        assert found is not None
        self.workers.remove(worker)
        self.schedule.finished(node.key, found)
        self.keeper.finished(node)
        self.proposer.finished(node)


def _refinement(stage: Any) -> int:
    epochs: int = stage.epochs - getattr(stage, "switch_epoch", 0)
    return epochs


def drive(world: World) -> Driver:
    """Runs a search to its end, undisturbed."""
    return Driver(world).run()


def drive_killed(world: World, kills: int, writes: int = 60, after: Callable[[], None] = lambda: None) -> Driver:
    """Runs a search to its end through some kills, each within so many writes of its driver's start."""
    for _ in range(kills):
        with fused(Fuse(world.chance, world.chance.randrange(writes))):
            try:
                return Driver(world).run()
            except Killed:
                pass
        after()
    return drive(world)
