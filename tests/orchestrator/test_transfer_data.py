"""The transfer-data command: what a sweep consists of, what is refused, and a small one from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import options, transfer_data
from orchestrator.engine import run as engine
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.transfer_data import Experiment, recipes
from tests.orchestrator.test_multi_teacher import command
from trainables.stages import CrossValidation, Evaluation, FineTune, Pretrained, SoftLabelDistillation

SETS = ("boolq", "boolq_random", "pubmedqa_yesno", "bioasq")


def experiment(target: str = "bioasq") -> Experiment:
    learning = {"steps": 12, "batch_size": 4, "learning_rate": 1e-3, "max_length": None, "train_limit": 32}
    return Experiment(target, ("student", Pretrained("/nowhere/student")), "mini", 7, {}, learning, 1.0)


@pytest.fixture(autouse=True)
def _weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pretrained, "fingerprints", lambda self: {"weights": self.name})


def test_a_sweep_has_teachers_the_untrained_student_and_every_transfer_set_twice() -> None:
    teachers = {name: Pretrained(f"/nowhere/{name}") for name in ("biobert", "pubmedbert")}
    asked = recipes(experiment(), teachers, SETS, (0,))
    assert [(one.method, one.model, one.teachers) for one in asked] == [
        ("finetune", "biobert", ()),
        ("finetune", "pubmedbert", ()),
        ("untrained", "student", ()),
        ("distill_boolq", "student", ("biobert",)),
        ("distill_boolq", "student", ("pubmedbert",)),
        ("finetune_boolq", "student", ()),
        ("distill_boolq_random", "student", ("biobert",)),
        ("distill_boolq_random", "student", ("pubmedbert",)),  # random text has no labels worth learning
        ("distill_pubmedqa", "student", ("biobert",)),
        ("distill_pubmedqa", "student", ("pubmedbert",)),
        ("finetune_pubmedqa", "student", ()),
        ("distill_bioasq", "student", ("biobert",)),
        ("distill_bioasq", "student", ("pubmedbert",)),
        ("finetune_bioasq", "student", ()),
    ]
    stages = {(one.method, one.teachers): one.stage for one in asked}
    distilled = stages["distill_boolq_random", ("biobert",)]
    assert isinstance(distilled, SoftLabelDistillation)
    assert (distilled.task, distilled.transfer_task) == ("bioasq", "boolq")
    assert distilled.teacher_outputs.data == "random:7:mini"
    tuned = stages["finetune_boolq", ()]
    assert isinstance(tuned, Evaluation)
    assert (tuned.task, tuned.solves) == ("bioasq", "boolq")
    assert isinstance(stages["finetune_bioasq", ()], FineTune), "on the target itself nothing else is evaluated"


def test_over_folds_the_teacher_of_each_fold_reads_the_transfer_set() -> None:
    asked = recipes(experiment("gad@5"), {"biobert": Pretrained("/nowhere/biobert")}, ("euadr", "gad"), (0,))
    by_method = {one.method: one.stage for one in asked}
    mean = by_method["distill_euadr"]
    assert isinstance(mean, CrossValidation)
    assert [fold.task for fold in mean.folds] == [f"gad@{number}/5" for number in range(1, 6)]  # type: ignore[attr-defined]
    assert {fold.transfer_task for fold in mean.folds} == {"euadr"}  # type: ignore[attr-defined]
    own = by_method["distill_gad"]
    assert isinstance(own, CrossValidation)
    assert [fold.transfer_task for fold in own.folds] == [f"gad@{number}/5" for number in range(1, 6)]  # type: ignore[attr-defined]


def test_two_transfer_sets_never_have_one_name() -> None:
    both = ("pubmedqa", "pubmedqa_yesno", "pubmedqa_random", "pubmedqa_yesno_random")
    asked = recipes(experiment("bioasq"), {"biobert": Pretrained("/nowhere/biobert")}, both, (0,))
    methods = [one.method for one in asked if one.method.startswith("distill_")]
    assert methods == [
        "distill_pubmedqa_with_maybe",
        "distill_pubmedqa",
        "distill_pubmedqa_with_maybe_random",
        "distill_pubmedqa_random",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--teachers", "x=mini_domain", "--student", "x=mini_general"), ["'x' is a teacher and, as another model"]),
        (("--target", "chemprot"), ["--target='chemprot'", "one of two labels", "bioasq"]),
        (("--target", "bc5chem"), ["--target='bc5chem'"]),
        (("--transfer", "bolq"), ["'bolq'", "did you mean 'boolq'"]),
        (("--transfer", "gad"), ["bioasq is of pairs of texts, the transfer data gad of single texts"]),
        (("--target", "gad", "--transfer", "boolq"), ["gad is of single texts, the transfer data boolq of pairs"]),
        (("--steps", "0"), ["--steps=0", "at least 1"]),
        (("--temperature", "0"), ["temperature=0.0", "above 0"]),
        (("--teachers", "mini_domian"), ["'mini_domian'", "did you mean 'mini_domain'"]),
        (("--student", "mini_general,mini_domain"), ["--student", "one model"]),
    ],
)
def test_what_cannot_be_is_refused_before_training(
    arguments: tuple[str, ...],
    said: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(engine, "connected", refuse)
    with pytest.raises(SystemExit) as ended:
        options.run_command(transfer_data.main, ["--preset", "mini", *arguments, "--storage", str(tmp_path / "runs")])
    assert ended.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert [word for word in said if word not in line] == [], line
    assert not (tmp_path / "runs" / "stages").exists()


@pytest.mark.slow
def test_a_small_sweep_from_end_to_end(tmp_path: Path) -> None:
    small = ("--preset", "mini", "--steps", "8", "--train-limit", "48", "--teacher-epochs", "1")
    small += ("--transfer", "boolq,boolq_random", "--teachers", "mini_mixed")
    out = command(tmp_path, *small, module="orchestrator.transfer_data")
    assert "gap closed" in out
    store = Store(str(tmp_path))
    found = rows.read(store.filesystem, store.root).set_index("method")
    random, real = found.loc["distill_boolq_random"], found.loc["distill_boolq"]
    assert (random["random_seed"], list(random["teacher_keys"])) == (0, [found.loc["finetune", "key"]])
    assert random["transfer_data"] != real["transfer_data"]
    assert set(found.index) == {"finetune", "untrained", "distill_boolq", "distill_boolq_random", "finetune_boolq"}
    assert set(found.status) == {"finished"}
    assert found.auroc.between(0, 100).all()
    assert found.loc["distill_boolq", "transfer_task"] == "boolq"
    assert found.loc["distill_boolq", "steps"] == 8
    assert found.loc["finetune_boolq", "transfer_task"] == "boolq"
    assert found.loc["untrained", "own_seconds"] < found.loc["finetune", "own_seconds"]
    assert "0 stages trained" in command(tmp_path, *small, module="orchestrator.transfer_data")
