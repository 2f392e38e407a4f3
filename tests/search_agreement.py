"""Whether Optuna's studies and the leaderboard say the same, row for row."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.vekd_averages import macro_average
from search_spaces import vekd

#: The leaderboard's column of each hyperparameter, by what the row's root stage is.
DISTILLED = {
    "teacher_epochs": "teacher_epochs",
    "teacher_learning_rate": "teacher_learning_rate",
    "beta1": "teacher_confidence_penalty",
    "student_epochs": "student_epochs",
    "student_learning_rate": "student_learning_rate",
    "epochs": "epochs",
    "learning_rate": "learning_rate",
    "beta2": "confidence_penalty",
    "gamma": "switch_rate",
}
FINE_TUNED = {
    "teacher_epochs": "epochs",
    "teacher_learning_rate": "learning_rate",
    "beta1": "confidence_penalty",
    "student_epochs": "epochs",
    "student_learning_rate": "learning_rate",
}
#: Of what is fine-tuned from a pretraining: columns under the same names.
PRETRAINED = {name: name for name in vekd.PARAMETERS}
CLOSE = 1e-9


def studies(journal: Path) -> list[optuna.Study]:
    """All studies of a journal."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return [optuna.load_study(study_name=one.study_name, storage=storage) for one in storage.get_all_studies()]


def agreement(store: Store, journal: Path, sweep: str, ended: bool = True) -> list[str]:
    """Compares the studies of a sweep with its rows and with the store.

    Every trial that ended has one row per seed (and one per seed and fold); of a search over several tasks one for each
    of them. Of a complete one all are finished, their mean dev score (macro-average over several tasks) is its value,
    and so is that of the store's results; of a pruned one all are pruned; of a failed one
    some are not finished, unless a later trial with the same hyperparameters was complete. All rows have the trial's
    hyperparameters, and no other row names a trial.

    Args:
        store: Of the sweep.
        journal: Of its studies.
        sweep: Its name.
        ended: Whether the search has come to its end; else trials may be under way.

    Returns:
        What does not agree, in words; empty where all does.
    """
    table = rows.read_table(store.filesystem, store.root).to_pylist()
    of_trials = [row for row in table if row["sweep"] == sweep and row["study"] is not None]
    problems: list[str] = []
    known: set[tuple[str, int]] = set()
    for study in studies(journal):
        seeds = study.user_attrs["search"]["seeds"]
        for trial in study.get_trials(deepcopy=False):
            known.add((study.study_name, trial.number))
            own = [row for row in of_trials if (row["study"], row["trial"]) == (study.study_name, trial.number)]
            tasks = study.user_attrs["search"].get("tasks", [None])
            found = _trial(study, trial, own, seeds * len(tasks), store, ended)
            problems += [f"trial {trial.number} of {study.study_name} ({trial.state.name}): {text}" for text in found]
    strange = {(row["study"], row["trial"]) for row in of_trials} - known
    return problems + [f"rows of a trial that no study has: {one}" for one in sorted(strange)]


def _trial(
    study: optuna.Study,
    trial: optuna.trial.FrozenTrial,
    own: list[dict[str, Any]],
    seeds: list[int],
    store: Store,
    ended: bool,
) -> list[str]:
    state = trial.state.name
    if state == "WAITING":
        return []
    problems = [text for row in own for text in _hyperparameters(trial.params, row)]
    if state == "RUNNING":
        return [*problems, *(["it is still under way"] if ended else [])]
    whole = [row for row in own if "/" not in row["task"]]
    if sorted(row["seed"] for row in whole) != sorted(seeds):
        return [*problems, f"rows of seeds {sorted(row['seed'] for row in whole)}, not of {seeds}"]
    statuses = {row["status"] for row in own}
    if state == "COMPLETE":
        if statuses != {"finished"}:
            return [*problems, f"its rows are {sorted(statuses)}"]
        results = [store.result(row["key"]) for row in whole]
        metrics = [
            result["metrics"][f"dev/{row['metric']}"] for row, result in zip(whole, results, strict=True) if result
        ]
        for what, scores in (
            ("rows", [row["dev_score"] for row in whole]),
            ("results", [100 * metric for metric in metrics]),
        ):
            if len(scores) != len(seeds) or abs(_value(whole, scores) - trial.values[0]) > CLOSE:
                problems.append(f"its value is {trial.values[0]}, the mean of {scores} of its {what} is not")
    elif state == "PRUNED" and statuses != {"pruned"}:
        problems.append(f"its rows are {sorted(statuses)}")
    elif state == "FAIL":
        later = study.get_trials(deepcopy=False)[trial.number + 1 :]
        retried = any(one.state.name == "COMPLETE" and one.params == trial.params for one in later)
        if not statuses <= {"finished", "failed", "blocked"} or (statuses == {"finished"} and not retried):
            problems.append(f"its rows are {sorted(statuses)}")
    return problems


def _value(whole: list[dict[str, Any]], scores: list[float]) -> float:
    by_task: dict[str, list[float]] = {}
    for row, score in zip(whole, scores, strict=True):
        by_task.setdefault(row["task"], []).append(score)
    return macro_average({task: statistics.fmean(each) for task, each in by_task.items()})


def _hyperparameters(params: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    columns = {"finetune": FINE_TUNED, "vekd": PRETRAINED}.get(row["method"], DISTILLED)
    shown = dict(row)
    if columns is PRETRAINED and row["vocabulary_size"] is None:
        shown["vocabulary_size"] = vekd.BASE_VOCABULARY
    return [
        f"{name} is {params[name]} in the study and {shown[column]} in the row"
        for name, column in columns.items()
        if name in params and shown[column] != params[name]
    ]
