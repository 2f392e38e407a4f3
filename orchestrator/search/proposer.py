"""A search as a proposer: asks Optuna for trials, adds their expressions to the schedule, tells Optuna the scores.

The store is the truth and Optuna's journal the memory of who asked. What a killed driver left under way is taken up
again: its trials still stand as running in the study, so their expressions are added again, and what of them is
finished is found. A trial's rows are written before Optuna is told of its end, never after.

Where early stopping is on, a trial begins with one stage (of its first seed); what that reports per epoch goes to
Optuna's pruner, so that the same seed is compared in all trials. All else follows once that stage has come to its end:
the other seeds, and where it is a pretraining what is fine-tuned from it.
"""

from __future__ import annotations

import dataclasses
import logging
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.bookkeeping import Bookkeeper
from orchestrator.engine.listener import Listener
from orchestrator.engine.schedule import Node, Schedule, State
from orchestrator.recipe import Recipe, with_folds
from orchestrator.search.phase import Make, Phase, Search
from orchestrator.search.study import PhaseStudy, study_name
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import CrossValidation

if TYPE_CHECKING:
    import optuna
    from optuna.trial import Trial

_log = logging.getLogger(__name__)
_PRUNED = "stopped early: it was among the worse ones at the same epoch"


@dataclasses.dataclass
class Open:
    """A trial under way.

    Attributes:
        study: Of its phase.
        trial: Optuna's.
        recipes: One per seed, or several: those of the first seed first.
        lead: Key of the stage whose epochs decide whether the trial goes on; None once all of its runs are added.
        prune: Whether it is to be stopped early.
        begun: Whether it had anything to run; else what it starts from had failed before.
    """

    study: PhaseStudy
    trial: Trial
    recipes: list[Recipe]
    lead: str | None = None
    prune: bool = False
    begun: bool = True


class StudyProposer(Listener):
    """Runs a search's phases; a :class:`~orchestrator.engine.proposer.Proposer`.

    Args:
        search: What is searched.
        storage: Optuna's storage.
        schedule: Where expressions are added.
        keeper: Writes the rows.
        record: Notes the recipes of a trial, so that its rows can be made again from the store.
        save: Called after every change of a study that must not be lost; with ``lazily=True`` after lesser ones.

    Attributes:
        schedule: Where expressions are added.
        studies: Those that were begun, by phase.
        recipes: Of all trials so far.
        open: Trials under way.
        on_end: Called with a trial's study and number when it has ended.
    """

    def __init__(
        self,
        search: Search,
        storage: optuna.storages.BaseStorage,
        schedule: Schedule,
        keeper: Bookkeeper,
        record: Callable[[Sequence[Recipe]], None],
        save: Callable[..., None],
    ) -> None:
        self.search = search
        self.studies: dict[str, PhaseStudy] = {}
        self.recipes: list[Recipe] = []
        self.open: list[Open] = []
        self.on_end: Callable[[PhaseStudy, int], None] = lambda study, number: None
        self._storage = storage
        self.schedule = schedule
        self._keeper = keeper
        self._record = record
        self._save = save
        self._unrecorded: list[Recipe] = []
        self._fruitless: set[str] = set()  # phases that ended without a complete trial

    def start(self) -> None:
        """Opens the studies that can be, and takes up what an earlier driver left under way."""
        for _ in self._current():
            pass

    def flush(self) -> None:
        """Records what the storage refused before.

        Raises:
            OSError: Where it refuses still.
        """
        if self._unrecorded:
            self._record(self._unrecorded)
            self._unrecorded = []

    def look(self) -> None:
        """Opens the studies that there are, and takes up nothing."""
        import optuna

        known = optuna.get_all_study_names(self._storage)
        for phase in self.search.phases:
            if not all(name in self.studies and self.studies[name].best for name in phase.after):
                continue
            fixed = self._fixed(phase)
            if study_name(self.search, phase, fixed) in known:
                self.studies[phase.name] = PhaseStudy(self.search, phase, fixed, self._storage)

    def described(self, one: Open) -> str:
        """How far a trial is, in words."""
        keys = {stage.key for recipe in one.recipes for stage in recipe.stage.walk() if stage.stored}
        nodes = [self.schedule.nodes[key] for key in keys if key in self.schedule.nodes]
        done = sum(node.state in (State.FINISHED, State.UNNEEDED) for node in nodes)
        running = sorted({type(node.stage).__name__ for node in nodes if node.state is State.RUNNING})
        return f"{done} of {len(keys)} stages" + (f", {', '.join(running)}" if running else "")

    @property
    def chooses_per_fold(self) -> bool:
        """Whether recipes are means over folds, of which each is to be chosen for by itself: see :meth:`best_of`."""
        return self.search.folds > 1

    def best_of(self, makes: Sequence[Make]) -> list[Recipe]:
        """Of each kind of recipe, those of the trial in which it does best on dev, as far as it was trained at all.

        Of a mean over folds each fold's are those that do best on this fold's dev. A fold's dev and test have nothing
        in common, but all folds' dev together are the same examples as all their tests.

        Args:
            makes: Make a recipe from a trial's hyperparameters and a seed.
        """
        last = self.studies.get(self.search.phases[-1].name)
        trials = last.trials("COMPLETE", "PRUNED") if last is not None else []
        found: list[Recipe] = []
        for make in makes:
            made = [[make(last.chosen(trial), seed) for seed in self.search.seeds] for trial in trials if last]
            trained = [recipes for recipes in made if self._dev([recipe.stage for recipe in recipes]) is not None]
            if trained:
                found += self._chosen(trained)
        return found

    def _chosen(self, trained: Sequence[Sequence[Recipe]]) -> list[Recipe]:
        """The best of several trials' recipes by dev, of equals the first; of folds put together from each fold's."""
        first = trained[0]
        if not isinstance(first[0].stage, CrossValidation):
            return list(max(trained, key=lambda recipes: self._dev([recipe.stage for recipe in recipes]) or 0.0))
        of_folds: list[list[Stage]] = []  # by fold, one per seed
        for place in range(len(first[0].stage.folds)):
            stages = [[recipe.stage.folds[place] for recipe in recipes] for recipes in trained]  # type: ignore[attr-defined]
            of_folds.append(max(stages, key=lambda each: self._dev(each) or 0.0))
        return [
            dataclasses.replace(recipe, stage=CrossValidation(tuple(each[place] for each in of_folds)))
            for place, recipe in enumerate(first)
        ]

    def _dev(self, stages: Sequence[Stage]) -> float | None:
        """Mean dev score of stages, of folds where a mean over them is not made yet; None where one is not trained."""
        scores = []
        for whole in stages:
            for stage in getattr(whole, "folds", (whole,)):
                result = self.schedule.result(stage)
                if result is None:
                    return None
                scores.append(result["metrics"][self.search.dev_metric(str(getattr(whole, "task", "")))])
        return statistics.fmean(scores)

    # --- Proposer --------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether every phase has ended, or one on which others wait ended without a result."""
        return not self.open and not any(True for _ in self._current())

    def propose(self) -> bool:
        """Adds a trial; not many more at once than stages run, since later ones know more."""
        if len(self.open) > len(self.schedule.running):
            return False
        for study in self._current():
            if study.ended + self._under_way(study) < study.target:
                trial = study.ask()
                self._take_up(study, trial)
                return True
        return False

    def wants_pruned(self, node: Node) -> bool:
        """Whether a trial that this stage decides on was given up."""
        deciding = [one for one in self.open if one.lead == node.key]
        return bool(deciding) and all(one.prune for one in deciding)

    # --- Listener --------------------------------------------------------------------------------------------

    def progressed(self, node: Node, report: dict[str, Any]) -> None:
        """Tells the pruner of a comparable epoch's dev score, or of whatever else is watched."""
        watched = self.search.watched
        value = report.get(watched.metric)
        if "resource" not in report or value is None:
            return
        last = report.get("stage_step", 0) >= report.get("stage_total", 0)
        for one in self.open:
            if one.lead == node.key:
                prune = one.study.report(
                    one.trial, watched.factor * value, int(report["resource"]), node.stage.schedule
                )
                if prune and not last:  # else nothing would be gained
                    one.study.give_up(one.trial)
                    one.prune = True
                self._save(lazily=not one.prune)

    def finished(self, node: Node) -> None:
        """See :class:`Listener`."""
        self._look()

    def failed(self, node: Node, blocked: Sequence[Node]) -> None:
        """See :class:`Listener`."""
        self._look()

    def pruned(self, node: Node) -> None:
        """See :class:`Listener`."""
        self._look()

    # --- inside ----------------------------------------------------------------------------------------------

    def _current(self) -> Iterable[PhaseStudy]:
        """The studies that have trials to go, opened where the phases before them have ended."""
        for phase in self.search.phases:
            if any(name in self._fruitless for name in phase.after):
                self._fruitless.add(phase.name)
            if phase.name in self._fruitless:
                continue
            if phase.name not in self.studies:
                if not all(self._ended(name) for name in phase.after):
                    continue
                self._begin(phase)
            study = self.studies[phase.name]
            if not self._ended(phase.name):
                yield study
            elif study.best is None:
                self._fruitless.add(phase.name)

    def _ended(self, phase: str) -> bool:
        study = self.studies.get(phase)
        return study is not None and study.ended >= study.target and not self._under_way(study)

    def _under_way(self, study: PhaseStudy) -> int:
        return sum(one.study is study for one in self.open)

    def _begin(self, phase: Phase) -> None:
        study = self.studies[phase.name] = PhaseStudy(self.search, phase, self._fixed(phase), self._storage)
        there = self._keeper.rows_of(study.name)
        if there and not study.trials():
            raise UserError(
                f"the leaderboard has {len(there)} rows of the study {study.name!r}, whose journal is gone: new trials "
                "would have the numbers of old ones. Bring the journal back, or give another --sweep; what is trained "
                "is found there, too"
            )
        study.begin()
        for trial in study.trials("COMPLETE"):  # so that a row or an entry that is not there (any more) is made again
            self._add(self.recipes_of(study, study.chosen(trial), trial.number))
        for trial in study.trials("PRUNED"):
            recipes = with_folds(self.recipes_of(study, study.chosen(trial), trial.number))
            lost = [recipe for recipe in recipes if recipe.row_key(self._keeper.sweep) not in there]
            self._keeper.lost(lost, "pruned", _PRUNED)
        for adopted in study.adopted():
            self._take_up(study, adopted)
        self._save()

    def _fixed(self, phase: Phase) -> dict[str, Any]:
        """What the phases before one chose."""
        fixed: dict[str, Any] = {}
        for name in phase.after:
            best = self.studies[name].best
            if best is not None:
                fixed |= self.studies[name].chosen(best)
        return fixed

    def recipes_of(self, study: PhaseStudy, chosen: Mapping[str, Any], number: int) -> list[Recipe]:
        """A trial's recipes, those of the first seed first."""
        labels = {"study": study.name, "trial": number}
        return [recipe for seed in self.search.seeds for recipe in study.phase.recipes(chosen, seed, **labels)]

    def _add(self, recipes: Sequence[Recipe], stages: Sequence[Stage] | None = None) -> None:
        """Adds recipes to the books, and their expressions (or some stages of them) to the schedule.

        Of stages that are no recipe's own, others will start from them: their weights must be there.
        """
        if stages is None:
            self.schedule.extend([recipe.stage for recipe in recipes])
        else:
            own = {recipe.stage.key for recipe in recipes}
            self.schedule.extend(stages, weights=own.isdisjoint(stage.key for stage in stages))
        self.recipes.extend(recipes)
        self._keeper.add(with_folds(recipes))

    def _take_up(self, study: PhaseStudy, trial: Trial) -> None:
        chosen = study.suggest(trial)
        recipes = self.recipes_of(study, chosen, trial.number)
        one = Open(study, trial, recipes)
        self.open.append(one)
        self._note(recipes)
        self._save()
        lead = self._leading(recipes[0])
        if lead is not None and not self.schedule.knows(lead) and self._hopeless(one):
            self.recipes.extend(recipes)
            self._end_pruned(one)
            return
        if lead is not None:
            one.lead = lead.key
            self._add(recipes, [lead])
        else:
            self._add(recipes)
        keys = [lead.key] if lead is not None else [recipe.stage.key for recipe in recipes]
        one.begun = any(self.schedule.nodes[key].state not in (State.FAILED, State.BLOCKED) for key in keys)
        self._look()

    def _note(self, recipes: Sequence[Recipe]) -> None:
        """Records a trial's recipes; those that the storage refuses are recorded with the next ones."""
        self._unrecorded += with_folds(recipes)
        try:
            self._record(self._unrecorded)
            self._unrecorded = []
        except OSError as error:
            _log.warning("%d recipes could not be recorded yet: %s", len(self._unrecorded), error)

    def _hopeless(self, one: Open) -> bool:
        """Whether it is known already that a trial will be stopped early."""
        return one.study.given_up(one.trial) or one.study.known(one.trial) is not None

    def _leading(self, recipe: Recipe) -> Stage | None:
        """The stage by which a trial may be stopped early; of several folds that of the first."""
        if self.search.pruner == "none":
            return None
        return next((stage for stage in recipe.stage.walk() if stage.prunable), None)

    def _look(self) -> None:
        """Ends the trials that can be ended, and adds the other seeds of those whose first has come to its end."""
        for one in list(self.open):
            if one.lead is not None:
                state = self.schedule.nodes[one.lead].state
                if state in (State.FINISHED, State.UNNEEDED):
                    one.lead = None
                    self.schedule.extend([recipe.stage for recipe in one.recipes])
                    self._keeper.add(with_folds(one.recipes))
                elif state is State.PRUNED:
                    self._end_pruned(one)
                    continue
                elif state in (State.FAILED, State.BLOCKED):
                    self._end_failed(one, self.schedule.nodes[one.lead])
                    continue
            if one.lead is None:
                self._end(one)

    def _end(self, one: Open) -> None:
        nodes = [self.schedule.nodes[recipe.stage.key] for recipe in one.recipes]
        lost = [node for node in nodes if node.state in (State.FAILED, State.BLOCKED, State.PRUNED)]
        if lost:
            self._end_failed(one, lost[0])
        elif all(node.state is State.FINISHED and node.result is not None for node in nodes):
            scores = [
                (recipe.task, 100 * node.result["metrics"][self.search.dev_metric(recipe.task)])
                for recipe, node in zip(one.recipes, nodes, strict=True)
                if node.result is not None
            ]
            one.study.complete(one.trial, self.search.value(scores))
            self._close(one)

    def _end_pruned(self, one: Open) -> None:
        self._keeper.lost(with_folds(one.recipes), "pruned", _PRUNED)
        one.study.prune(one.trial)
        self._close(one)

    def _end_failed(self, one: Open, node: Node) -> None:
        self._keeper.lost(with_folds(one.recipes), "failed" if node.state is State.FAILED else "blocked", node.error)
        one.study.fail(one.trial, node.error, one.begun)
        self._close(one)

    def _close(self, one: Open) -> None:
        self.open.remove(one)
        self._save()
        self.on_end(one.study, one.trial.number)
