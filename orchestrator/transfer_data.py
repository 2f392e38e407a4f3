"""Transfer-data distillation: what a teacher says of other texts than its own task's teaches a student its task."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import options, sweep
from orchestrator.recipe import Recipe, over_folds, with_folds
from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import Evaluation, FineTune, SoftLabelDistillation, TeacherOutputs
from trainables.stages.rules import SHORTEST

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.store import Store

MODULE = "orchestrator.transfer_data"
DESCRIPTION = """\
Fine-tunes domain teachers on a target task, lets each say what it thinks of several transfer sets (general text, the
same with random words, text of the domain), and trains a student on nothing but that; then asks how much of the gap
between an untrained student and the teacher is closed on the target. Beside it, the student fine-tuned on the transfer
sets' own labels. Interrupted? Run the same command again.
"""
EXAMPLES = """
python -m orchestrator.transfer_data --preset mini                                     # offline, minutes
python -m orchestrator.transfer_data --data data/blurb --dry-run                       # BioASQ, two teachers, four sets
python -m orchestrator.transfer_data --target gad@5 --transfer euadr,tacred --train-limit 60000
python -m orchestrator.leaderboard transfer_data --target bioasq                       # ours beside the printed
"""
#: Behind a task's name: random text in its form.
RANDOM = "_random"
_LEARNING = ("steps", "batch_size", "learning_rate")
#: What is not given, by preset.
DEFAULTS: Mapping[str, dict[str, Any]] = {
    "paper": {
        "target": "bioasq",
        "teachers": ("biobert", "pubmedbert"),
        "student": "bert_base",
        "transfer": ("boolq", "boolq_random", "pubmedqa_yesno", "bioasq"),
        "steps": 1_100,
        "batch_size": 12,
        "learning_rate": 8e-6,
    },
    "mini": {
        "target": "bioasq",
        "teachers": ("mini_mixed", "mini_domain"),
        "student": "mini_general",
        "transfer": ("boolq", "boolq_random", "pubmedqa_yesno", "bioasq"),
        "steps": 200,
        "batch_size": 16,
        "learning_rate": 2e-3,
    },
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What all recipes of a sweep have in common.

    Attributes:
        target: Key of the target task; ``gad@5`` is cross-validated over five folds.
        student: Name and model of the student.
        data: Source of all tasks.
        random_seed: Of random text.
        teaching: Fields of every teacher's :class:`FineTune`.
        learning: Fields of every student's training: steps, batch size, learning rate, training examples at most.
        temperature: Of the soft labels.
    """

    target: str
    student: tuple[str, Stage]
    data: str
    random_seed: int
    teaching: Mapping[str, Any]
    learning: Mapping[str, Any]
    temperature: float

    def teacher(self, name: str, model: Stage, seed: int) -> Recipe:
        """The row of a teacher on its own task."""
        stage = over_folds(self.target, lambda task: self._teacher(task, model, seed))
        return Recipe(stage, "finetune", name, self.target, seed)

    def untrained(self, seed: int) -> Recipe:
        """The row of the student as it is, with a new head: where the gap to the teacher begins."""
        stage = over_folds(self.target, lambda task: Evaluation(self.student[1], task, self.data, seed=seed))
        return Recipe(stage, "untrained", self.student[0], self.target, seed)

    def distilled(self, name: str, model: Stage, transfer: str, seed: int) -> Recipe:
        """The row of a student that a teacher's soft labels on a transfer set were distilled into."""

        def make(task: str) -> Stage:
            said = TeacherOutputs(self._teacher(task, model, seed), splits=("train",), **self._transfer(transfer, task))
            return SoftLabelDistillation(
                self.student[1], said, temperature=self.temperature, seed=seed, **_without_limit(self.learning)
            )

        stage = over_folds(self.target, make)
        return Recipe(stage, f"distill_{_short(transfer)}", self.student[0], self.target, seed, teachers=(name,))

    def fine_tuned(self, transfer: str, seed: int) -> Recipe:
        """The row of the student trained on a transfer set's own labels (section 4.2)."""

        def make(task: str) -> Stage:
            where = self._transfer(transfer, task)
            limit = where.pop("train_limit")
            tuned = FineTune(
                init=self.student[1],
                train_limit=limit,
                warmup_steps=0,
                warmup_ratio=0.0,
                weight_decay=0.0,
                seed=seed,
                **where,
                **_without_limit(self.learning),
            )
            return tuned if where["task"] == task else Evaluation(tuned, task, self.data, seed=seed)

        stage = over_folds(self.target, make)
        return Recipe(stage, f"finetune_{_short(transfer)}", self.student[0], self.target, seed)

    def _teacher(self, task: str, model: Stage, seed: int) -> FineTune:
        return FineTune(task, model, data=self.data, seed=seed, **self.teaching)

    def _transfer(self, name: str, target: str) -> dict[str, Any]:
        """Task, source and size of a transfer set; of the target's own text, the fold's."""
        task = name.removesuffix(RANDOM)
        source = f"{sources.RANDOM}{self.random_seed}:{self.data}" if name.endswith(RANDOM) else self.data
        own = target if task == tasks.get(target).corpus else task
        known = sources.settings(self.data, tasks.get(own))
        return {
            "task": own,
            "data": source,
            "max_length": self.learning.get("max_length") or known.max_length,
            "train_limit": self.learning.get("train_limit"),
        }


def _without_limit(learning: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in learning.items() if name not in ("train_limit", "max_length")}


def _short(transfer: str) -> str:
    """A transfer set's name in the published results: PubMedQA is without maybe there; with it, it has another name."""
    task, random = transfer.removesuffix(RANDOM), RANDOM if transfer.endswith(RANDOM) else ""
    return {"pubmedqa_yesno": "pubmedqa", "pubmedqa": "pubmedqa_with_maybe"}.get(task, task) + random


def recipes(
    experiment: Experiment, teachers: Mapping[str, Stage], transfer: Sequence[str], seeds: Sequence[int]
) -> list[Recipe]:
    """The sweep: teachers, the untrained student, and every transfer set with every teacher and with its own labels."""
    found = []
    for seed in seeds:
        found += [experiment.teacher(name, model, seed) for name, model in teachers.items()]
        found.append(experiment.untrained(seed))
        for one in transfer:
            found += [experiment.distilled(name, model, one, seed) for name, model in teachers.items()]
            # Random text has no labels that mean anything, and labels of another kind say nothing of the target.
            if not one.endswith(RANDOM) and tasks.get(one).labels == tasks.get(experiment.target).labels:
                found.append(experiment.fine_tuned(one, seed))
    return found


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = options.bare_parser(MODULE, DESCRIPTION, EXAMPLES)
    what = made.add_argument_group("what to run")
    options.add_preset(what)
    what.add_argument(
        "--target", metavar="T", help="the teachers' task; T@5 is cross-validated over five folds (bioasq)"
    )
    what.add_argument(
        "--teachers", metavar="M,...", help="models in the domain (biobert,pubmedbert; mini: mini_mixed,mini_domain)"
    )
    what.add_argument("--student", metavar="M", help="model to be taught (bert_base; mini: mini_general)")
    what.add_argument(
        "--transfer",
        metavar="T,...",
        help="tasks whose texts are the transfer sets, T_random with random words "
        "(boolq,boolq_random,pubmedqa_yesno,bioasq)",
    )
    options.add_data(what)
    how = made.add_argument_group("how to distil")
    how.add_argument("--steps", type=int, metavar="N", help="of every student's training (1100; mini: 200)")
    how.add_argument("--batch-size", type=int, metavar="N", help="of a student's step (12; mini: 16)")
    how.add_argument("--learning-rate", type=float, metavar="F", help="of a student (8e-6; mini: 2e-3)")
    how.add_argument("--max-length", type=int, metavar="N", help="word pieces of the transfer sets (each task's)")
    how.add_argument("--train-limit", type=int, metavar="N", help="examples of a transfer set at most")
    how.add_argument("--temperature", type=float, default=1.0, metavar="F", help="of the soft labels (1)")
    how.add_argument("--random-seed", type=int, default=0, metavar="N", help="of random text (0)")
    how.add_argument("--teacher-epochs", type=int, metavar="N", help="of a teacher (its task's published ones)")
    how.add_argument("--teacher-train-limit", type=int, metavar="N", help="examples of the target task at most")
    how.add_argument("--teacher-learning-rate", type=float, metavar="F", help="of a teacher (its task's)")
    options.add_how(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see ``--help``."""
    given = options.parse(parser(), arguments)
    options.counted(given, "steps", "batch_size", "train_limit", "teacher_epochs", "teacher_train_limit")
    options.counted(given, "max_length", least=SHORTEST)
    preset = DEFAULTS[given.preset]
    target = tasks.get(options.either(given.target, preset["target"]))
    if len(target.labels) != 2 or target.on_tokens or target.multi_label:
        from trainables.training.class_metrics import binary_tasks

        raise UserError(
            f"--target={target.name!r} must give each text one of two labels, since AUROC is what is compared; "
            f"such tasks are {', '.join(binary_tasks())}"
        )
    transfer = _transfer_sets(options.listed("transfer", given.transfer, preset["transfer"]))
    how = options.resolve_how(given, f"transfer_data_{given.preset}")
    data = options.data_source(options.either(given.data, options.PRESETS[given.preset].data))
    teaching = {"epochs": given.teacher_epochs, "train_limit": given.teacher_train_limit}
    teaching["learning_rate"] = given.teacher_learning_rate
    experiment = Experiment(
        target.name,
        _one_model(options.either(given.student, preset["student"])),
        data,
        given.random_seed,
        {name: value for name, value in teaching.items() if value is not None},
        {
            **{name: options.either(getattr(given, name), preset[name]) for name in _LEARNING},
            "max_length": given.max_length,
            "train_limit": given.train_limit,
        },
        given.temperature,
    )
    teachers = options.model_names("teachers", given.teachers, preset["teachers"])
    name, student = experiment.student
    if teachers.get(name, student) != student:
        raise UserError(
            f"{name!r} is a teacher and, as another model, the student; give one of them another name with NAME=MODEL"
        )
    seeds = options.seeds(given.seeds, options.PRESETS[given.preset].seeds)
    return sweep.run(how, with_folds(recipes(experiment, teachers, transfer, seeds)), report=show)


def _one_model(text: str) -> tuple[str, Stage]:
    found = options.model_names("student", text, ())
    if len(found) > 1:
        raise UserError(f"--student={text!r} names {len(found)} models; give one model, and run the command for each")
    return next(iter(found.items()))


def _transfer_sets(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in tasks.TASKS:
            tasks.get(name.removesuffix(RANDOM))
    return tuple(names)


def show(how: options.RunOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
    """Prints the table of what was asked for, from the leaderboard."""
    from orchestrator.leaderboard import rows, transfer_data

    frame = rows.read(store.filesystem, store.root)
    frame = frame[frame["row_key"].isin([recipe.row_key(how.sweep) for recipe in recipes])]
    if frame.empty:
        console.print(f"no rows of sweep {how.sweep} in {store.root} yet")
        return
    for comparison in transfer_data.compare(frame, recipes[0].task):
        console.print(transfer_data.block(comparison))


if __name__ == "__main__":
    options.run_command(main)
