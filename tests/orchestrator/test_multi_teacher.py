"""The multi-teacher command: what a sweep consists of, what is refused, and a small one from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from orchestrator import multi_teacher, options
from orchestrator.accounting import unshared
from orchestrator.engine import run as engine
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.multi_teacher_recipes import Experiment, recipes, subsets
from trainables.stages import Pretrained
from trainables.stages.multi_teacher import STRATEGIES

ROOT = Path(__file__).resolve().parents[2]
TEACHERS = {name: Pretrained(f"/nowhere/{name}") for name in ("one", "two", "three")}
STUDENT = {"small": Pretrained("/nowhere/small")}


def test_every_subset_of_teachers_the_largest_first() -> None:
    assert [tuple(some) for some in subsets(TEACHERS, 2)] == [
        ("one", "two", "three"),
        ("one", "two"),
        ("one", "three"),
        ("two", "three"),
    ]


def test_three_teachers_five_strategies_three_seeds_are_81_stages_of_402(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each teacher is trained and read once per seed, however many subsets and strategies it is in."""
    monkeypatch.setattr(Pretrained, "fingerprints", lambda self: {"weights": self.name})
    experiment = Experiment("emotion", {"data": "mini"}, {"epochs": 1})
    asked = recipes(experiment, TEACHERS, STUDENT, STRATEGIES, 2, (0, 1, 2))
    assert len(asked) == 3 * (4 + 4 * 5)
    distinct = {stage.key: type(stage).__name__ for one in asked for stage in one.stage.walk() if stage.stored}
    assert Counter(distinct.values()) == {"FineTune": 12, "TeacherOutputs": 9, "MultiTeacherDistillation": 60}
    assert len(distinct) == 81
    assert unshared(asked).total() == 402
    rows_of = {(one.method, one.model, one.teachers, one.seed) for one in asked}
    assert len(rows_of) == len(asked)
    assert ("ca_mkd", "small", ("one", "three"), 2) in rows_of


@pytest.fixture
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(engine, "connected", refuse)


@pytest.mark.usefixtures("_no_ray")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--strategies", "expertize"), ["'expertize'", "did you mean 'expertise'"]),
        (("--teachers", "mini_domain"), ["--min-teachers=2", "at most the number of --teachers, 1"]),
        (
            ("--teachers", "x=mini_disease,y=mini_gene", "--students", "x=mini_gene"),
            ["'x' is a teacher and, as another model, a student"],
        ),
        (("--min-teachers", "1"), ["--min-teachers=1", "at least 2"]),
        (("--min-teachers", "4"), ["--min-teachers=4", "3"]),
        (("--task", "hoc"), ["'hoc'", "several labels per example"]),
        (("--task", "emotoin"), ["'emotoin'", "did you mean 'emotion'"]),
        (("--teachers", "mini_domain,mini_domian"), ["'mini_domian'", "did you mean 'mini_domain'"]),
        (("--alpha", "2"), ["alpha=2.0", "between 0 and 1"]),
        (("--temperature", "0"), ["temperature=0.0", "above 0"]),
        (("--distil-epochs", "0"), ["--distil-epochs=0", "at least 1"]),
        (("--expertise", "train"), ["train", "dev", "test"]),
    ],
)
def test_what_cannot_be_is_refused_before_training(
    arguments: tuple[str, ...], said: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        options.run_command(multi_teacher.main, ["--preset", "mini", *arguments, "--storage", str(tmp_path / "runs")])
    assert ended.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert [word for word in said if word not in line] == [], line
    assert not (tmp_path / "runs" / "stages").exists()


def command(storage: Path, *arguments: str, module: str = "orchestrator.multi_teacher") -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--storage", str(storage)],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_small_sweep_from_end_to_end(tmp_path: Path) -> None:
    small = ("--preset", "mini", "--epochs", "1", "--train-limit", "64", "--distil-epochs", "1")
    some = ("--strategies", "expertise,random_teacher", "--min-teachers", "2")
    out = command(tmp_path, *small, *some)
    stages = [json.loads(path.read_text())["stage"] for path in (tmp_path / "stages").glob("*/stage.json")]
    assert Counter(stages)["TeacherOutputs"] == 3, "a pass per teacher, however many combinations use it"
    assert Counter(stages)["MultiTeacherDistillation"] == 4 * 2
    assert out.count("start  outputs on") == 3
    assert "the teachers' expertise on dev (first seed" in out
    assert "median over classes" in out
    store = Store(str(tmp_path))
    found = rows.read(store.filesystem, store.root)
    distilled = found[found.method == "expertise"]
    assert len(distilled) == 4
    key_of = dict(zip(found[found.method == "finetune"].model, found[found.method == "finetune"].key, strict=True))
    for names, keys, epochs in zip(distilled.teachers, distilled.teacher_keys, distilled.teacher_epochs, strict=True):
        assert list(keys) == [key_of[name] for name in names]
        assert epochs == 1
    for accuracies in distilled.class_accuracy:
        assert set(accuracies) == {"sadness", "joy", "love", "anger", "fear", "surprise"}
        assert all(0 <= value <= 100 for value in accuracies.values())
    again = command(tmp_path, *small, *some)
    assert "0 stages trained" in again
    shown = command(tmp_path, "multi_teacher", "--task", "emotion", module="orchestrator.leaderboard")
    assert "EMOTION" in shown
