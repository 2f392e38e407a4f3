"""Makes every row again from the store: what sweeps asked for, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.leaderboard import rows
from orchestrator.recipe import Recipe

if TYPE_CHECKING:
    from orchestrator.engine.store import Store


def rebuild(store: Store) -> int:
    """Writes the row of every recipe whose stage has finished or failed, equal to the one the sweep wrote.

    Rows of recipes that no manifest names any more are left as they are.

    Returns:
        The number of rows written.
    """
    cache: dict[str, dict[str, Any] | None] = {}

    def result(key: str) -> dict[str, Any] | None:
        if key not in cache:
            cache[key] = store.result(key)
        return cache[key]

    written = set()
    for sweep, forms in store.sweeps().items():
        for form in forms:
            recipe = Recipe.from_json(form)
            row_key = recipe.row_key(sweep)
            if row_key in written:  # an extended sweep names its earlier recipes again
                continue
            given_up = store.failure(row_key) if recipe.trial is not None else None
            found = {} if given_up else {stage.key: result(stage.key) for stage in recipe.stage.walk()}
            row = _row(store, sweep, recipe, found, given_up)
            if row is not None:
                rows.write(store.filesystem, store.root, row)
                written.add(row_key)
    return len(written)


def _row(
    store: Store,
    sweep: str,
    recipe: Recipe,
    found: dict[str, dict[str, Any] | None],
    given_up: dict[str, Any] | None,
) -> dict[str, Any] | None:
    """A recipe's row; a trial that was pruned stays so, whoever finished its stage later."""
    results = {key: result for key, result in found.items() if result is not None}
    if recipe.stage.key in results:
        return rows.build(sweep, recipe, results)
    failure = given_up or store.failure(recipe.stage.key)
    if failure is None:
        return None
    return rows.build(sweep, recipe, results, failure["status"], failure["error"])
