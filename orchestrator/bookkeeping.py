"""What is written while a sweep runs: leaderboard rows, failures, and which weights are let go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from orchestrator.engine.listener import Listener
from orchestrator.engine.schedule import Node, Schedule, State
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.recipe import Recipe

_log = logging.getLogger(__name__)


class Bookkeeper(Listener):
    """Writes a row as soon as its recipe is decided, and keeps only the weights that were asked for.

    Args:
        sweep: The sweep's name.
        recipes: What the sweep asks for.
        schedule: Its graph.
        store: Where all of it lies.
        keep_models: ``inputs``, ``best``, ``all`` or ``none``.
        spared: Methods whose weights are kept in any case, since what a search adds later may start from them.
    """

    def __init__(
        self,
        sweep: str,
        recipes: Sequence[Recipe],
        schedule: Schedule,
        store: Store,
        keep_models: str,
        spared: Collection[str] = (),
    ) -> None:
        self.sweep = sweep
        self._schedule = schedule
        self._store = store
        self._policy = keep_models
        self._spared = spared
        self._recipes: dict[str, list[Recipe]] = {}  # one stage may have rows under several labels
        self._failed_before = {name.removesuffix(".json") for name in store.storage.names("failures")}
        self._trained_here: set[str] = set()
        self._best: dict[tuple[str, str], tuple[float, str]] = {}
        self._unwritten: set[str] = set()
        self._pruned: set[str] = set()  # keys of rows
        self._written: set[str] | None = None  # keys of the finished rows, once they were read
        self._register(recipes)

    def add(self, recipes: Sequence[Recipe]) -> None:
        """Takes in recipes that the sweep asks for only now; those that are finished already have their rows written.

        Their stages must be in the schedule, or be added to it later.
        """
        for recipe in self._register(recipes):
            if recipe.row_key(self.sweep) not in self._rows_there():
                self._write(recipe.stage.key, self._row(recipe))

    def keep_model(self, node: Node) -> bool:
        """Whether a stage's weights go into the store, besides those that something unfinished starts from."""
        if any(recipe.method in self._spared for recipe in self._recipes.get(node.key, ())):
            return True
        if self._policy == "best":
            return bool(node.children) or node.key in self._recipes
        return self._policy == "all" or (self._policy == "inputs" and bool(node.children))

    def write_missing_rows(self) -> int:
        """Writes the rows of finished recipes that the leaderboard lacks or has as failed.

        Returns:
            How many were written.
        """
        written = self._rows_there()
        missing = [
            recipe
            for key, recipes in self._recipes.items()
            for recipe in recipes
            if recipe.row_key(self.sweep) not in written and self._result(key) is not None
        ]
        self._unwritten.clear()
        for recipe in missing:
            self._write(recipe.stage.key, self._row(recipe))
        return len(missing) - len(self._unwritten)

    @property
    def trained(self) -> int:
        """Stages that this run has trained."""
        return len(self._trained_here)

    @property
    def unwritten(self) -> bool:
        """Whether a row could not be written when its recipe ended."""
        return bool(self._unwritten)

    def finished(self, node: Node) -> None:
        """Writes the row, forgets an earlier failure, and lets weights go."""
        self._trained_here.add(node.key)
        if node.key in self._failed_before:
            self._tidy(self._store.clear_failure, node.key)
        for recipe in self._recipes.get(node.key, ()):
            if recipe.row_key(self.sweep) in self._pruned:  # finished for somebody else
                continue
            row = self._row(recipe)
            self._write(node.key, row)
            self._compare(recipe, row["dev_score"])
        if self._policy == "none":
            self._drop_spent_inputs(node)

    def failed(self, node: Node, blocked: Sequence[Node]) -> None:
        """Notes the failure of a stage and of what it blocks."""
        for one in (node, *blocked):
            status = "failed" if one is node else "blocked"
            self._note(one.key, status, one.error, one.stage.label())
            if one.result is not None:  # only its weights were to be made again
                continue
            for recipe in self._recipes.get(one.key, ()):
                self._write(one.key, rows.build(self.sweep, recipe, {}, status, one.error))

    def lost(self, recipes: Sequence[Recipe], status: str, error: str) -> None:
        """Writes the rows of recipes that will not be run to their end: pruned, failed or blocked.

        Those of them that are finished keep their row; those that failed or are blocked themselves say so.
        """
        for recipe in recipes:
            key = recipe.stage.key
            node = self._schedule.nodes.get(key)
            if node is not None and node.result is not None:
                continue
            how, why = status, error
            if node is not None and node.state in (State.FAILED, State.BLOCKED):
                how, why = node.state.value, node.error
            if how == "pruned":
                # Of the trial, not of the stage: whoever asks for the same stage otherwise may yet finish it.
                self._note(recipe.row_key(self.sweep), how, why, recipe.stage.label())
                self._pruned.add(recipe.row_key(self.sweep))
                deciding = {stage.key for stage in recipe.stage.walk() if stage.prunable}
                for saved in (key, *sorted(deciding - {key})):  # by a driver that was killed before it could do so
                    self._tidy(self._store.drop_checkpoint, saved)
            else:
                self._note(key, how, why, recipe.stage.label())
            self._write(key, rows.build(self.sweep, recipe, {}, how, why))

    def drop_weights(self) -> None:
        """Lets the weights of everything go that this run has trained."""
        for key in self._trained_here:
            if self._schedule.nodes[key].stage.makes_model:
                self._tidy(self._store.drop_model, key)

    def _register(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """Takes recipes in; returns those that are finished."""
        finished = []
        for recipe in recipes:
            known = self._recipes.setdefault(recipe.stage.key, [])
            if recipe not in known:
                known.append(recipe)
            if self._result(recipe.stage.key) is not None:
                finished.append(recipe)
                self._compare(recipe, self._row(recipe)["dev_score"])
        return finished

    def _result(self, key: str) -> dict[str, Any] | None:
        node = self._schedule.nodes.get(key)
        return node.result if node is not None and node.state in (State.FINISHED, State.UNNEEDED) else None

    def rows_of(self, study: str) -> set[str]:
        """Keys of the rows that the leaderboard has of a search's study in this sweep, whatever came of them."""
        found = rows.read_table(self._store.filesystem, self._store.root, ["row_key", "sweep", "study"]).to_pylist()
        return {row["row_key"] for row in found if (row["sweep"], row["study"]) == (self.sweep, study)}

    def _rows_there(self) -> set[str]:
        """Keys of the finished rows that the leaderboard has."""
        if self._written is None:
            found = rows.read_table(self._store.filesystem, self._store.root, ["row_key", "status"]).to_pylist()
            self._written = {row["row_key"] for row in found if row["status"] == "finished"}
        return self._written

    def _note(self, key: str, status: str, error: str, label: str) -> None:
        self._failed_before.add(key)
        try:
            self._store.write_failure(key, status, error)
        except OSError as refused:
            _log.warning("the failure of %s could not be noted: %s", label, refused)

    def _row(self, recipe: Recipe) -> dict[str, object]:
        stages = recipe.stage.walk()
        nodes = [self._schedule.nodes[stage.key] for stage in stages if stage.stored]
        results = {node.key: node.result for node in nodes if node.result is not None}
        return rows.build(self.sweep, recipe, results)

    def _write(self, key: str, row: dict[str, object]) -> None:
        try:
            rows.write(self._store.filesystem, self._store.root, row)
            if self._written is not None and row["status"] == "finished":
                self._written.add(str(row["row_key"]))
        except OSError as error:  # the result itself is safe; the row is made from it at the end or the next start
            _log.warning("the row of %s could not be written: %s", key, error)
            self._unwritten.add(key)

    def _tidy(self, delete: Callable[[str], None], key: str) -> None:
        try:
            delete(key)
        except OSError as error:  # a file too many is no reason to end a sweep
            _log.warning("what is not needed of %s could not be deleted: %s", key, error)

    def _compare(self, recipe: Recipe, dev_score: object) -> None:
        """Keeps the best row of each model and task, by dev score; weights trained by earlier runs are left alone."""
        if self._policy != "best" or not isinstance(dev_score, float):
            return
        if not recipe.stage.makes_model or recipe.method in self._spared:
            return
        group, key = (recipe.model, recipe.task), recipe.stage.key
        best = self._best.get(group)
        if best is not None and best[1] == key:  # told of it again
            return
        loser = key
        if best is None or (dev_score, key) > best:  # the key decides ties, so that the order of ending does not
            self._best[group] = (dev_score, key)
            loser = best[1] if best is not None else ""
        if loser in self._trained_here and not self._schedule.nodes[loser].children:
            self._tidy(self._store.drop_model, loser)

    def _drop_spent_inputs(self, node: Node) -> None:
        for parent in node.parents:
            children = self._schedule.nodes[parent].children
            spent = all(
                self._schedule.nodes[child].state
                in (State.FINISHED, State.UNNEEDED, State.FAILED, State.BLOCKED, State.PRUNED)
                for child in children
            )
            if spent and parent in self._trained_here:
                self._tidy(self._store.drop_model, parent)
