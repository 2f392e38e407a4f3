"""The VE-KD command: what a run consists of, what is refused, and a small one from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from orchestrator import options, vekd
from orchestrator.engine import run as engine
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows

ROOT = Path(__file__).resolve().parents[2]
MINI = ("--preset", "mini")


@pytest.fixture
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(engine, "connected", refuse)


def account(capsys: pytest.CaptureFixture[str], storage: Path, *arguments: str) -> dict[str, list[int]]:
    """The numbers of a dry run by kind of stage."""
    assert vekd.main([*MINI, *arguments, "--dry-run", "--storage", str(storage)]) == 0
    lines = [line.split("\u2502") for line in capsys.readouterr().out.splitlines() if "\u2502" in line]
    return {cells[1].strip(): [int(number) for number in cells[2:-1]] for cells in lines if cells[1].strip() != "stage"}


@pytest.mark.usefixtures("_no_ray")
def test_the_default_run_is_the_method_beside_distillation_and_the_teacher(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = account(capsys, tmp_path)
    assert {
        kind: numbers[1] for kind, numbers in found.items() if kind not in ("RandomInit", "MaskedLanguageModel")
    } == {
        "FineTune": 9,
        "TokenizedCorpus": 2,
        "MaskedLMDistillation": 2,
        "WordPieceVocabulary": 1,
        "all": 16,
    }
    assert not (tmp_path / "stages").exists()


@pytest.mark.usefixtures("_no_ray")
@pytest.mark.parametrize(
    ("arguments", "kind", "distinct"),
    [
        (("--seeds", "0,1,2"), "MaskedLMDistillation", 2),
        (("--seeds", "0,1,2"), "FineTune", 27),
        (("--seeds", "0,1,2", "--pretrain-per-seed"), "MaskedLMDistillation", 6),
        (("--seeds", "0,1,2", "--pretrain-per-seed"), "TokenizedCorpus", 2),
        (("--methods", "adapt_and_distill"), "MaskedLMDistillation", 2),
        (("--methods", "adapt_and_distill"), "MaskedLanguageModel", 3),  # the teacher's own, and two of the four steps
        (("--vocabulary-size", "base", "--tolerance", "0"), "MaskedLMDistillation", 1),  # both are plain distillation
        (("--table", "4"), "InferenceSpeed", 4),
        (("--table", "1"), "FineTune", 60),
        (("--table", "3", "--tasks", "hoc"), "FineTune", 9),  # BioBERT and PubMedBERT are one miniature
        (("--table", "8"), "GenerativeLMDistillation", 2),
        (("--table", "8"), "AddedWords", 1),
        (("--table", "9"), "FineTune", 36),
        (("--figure", "2"), "MaskedLMDistillation", 12),
        (("--figure", "3", "--tasks", "hoc"), "FineTune", 5),
        (("--figure", "4"), "TokenizedCorpus", 15),
    ],
)
def test_what_runs_consist_of(
    arguments: tuple[str, ...], kind: str, distinct: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert account(capsys, tmp_path, *arguments)[kind][1] == distinct


@pytest.mark.usefixtures("_no_ray")
def test_a_search_says_what_it_would_be(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--trials", "5", "--tolerance", "0.5", "--prune", "asha", "--dry-run", "--storage", str(tmp_path)]
    assert vekd.main([*MINI, *arguments]) == 0
    out = capsys.readouterr().out
    assert "5 trials of 48 combinations" in out
    assert "tolerance {0.5}; mlm_weight {1, 2}" in out
    assert "1 TokenizedCorpus, 1 MaskedLMDistillation, 3 FineTune" in out
    assert "pruner asha" in out


@pytest.mark.usefixtures("_no_ray")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tasks", "hocc"), ["'hocc'", "did you mean 'hoc'"]),
        (("--methods", "vekdd"), ["--methods", "'vekdd'", "did you mean 'vekd'"]),
        (("--vocabulary-size", "big"), ["--vocabulary-size", "'big'", "whole number", "'base' for 0"]),
        (("--vocabulary-size", "1.5"), ["1.5", "whole number"]),
        (("--tolerance", "-1"), ["--tolerance", "-1", "at least 0"]),
        (("--share", "0"), ["--share", "above 0 and at most 1"]),
        (("--share", "1.5"), ["--share", "1.5", "nearest: 1"]),
        (("--temperature", "0"), ["--temperature", "above 0"]),
        (("--layers", "0,two"), ["--layers", "'two'", "0,2,4"]),
        (("--layers", "0,7"), ["layers=[0, 7]", "has 2", "leave out 7"]),
        (("--heads", "0"), ["--heads=0", "at least 1"]),
        (("--min-words", "-1"), ["--min-words=-1", "at least 0"]),
        (("--corpus", "nowhere.txt"), ["'nowhere.txt'", "no such file or folder", "mini:domain"]),
        (("--corpus", "mini:domian"), ["mini:domian", "did you mean 'domain'"]),
        (("--corpus", " "), ["--corpus", "names nothing"]),
        (("--teacher", "mini_genral"), ["'mini_genral'", "did you mean 'mini_general'"]),
        (("--teacher", "mini_general,mini_domain"), ["names 2 models", "give one"]),
        (("--distil-epochs", "0"), ["--distil-epochs=0", "at least 1"]),
        (("--table", "5"), ["Table 5", "1, 2, 3, 4, 6, 7"]),
        (("--table", "8", "--replacement", "mask"), ["--replacement", "--table 8", "a way of its own"]),
        (("--table", "9", "--layers", "0,2"), ["GenerativeLMDistillation.layers=[0, 2]", "has 2", "leave out 2"]),
        (("--table", "1", "--figure", "2"), ["--table and --figure", "one of them"]),
        (("--table", "1", "--teacher", "mini_general"), ["--teacher", "--table", "--models"]),
        (("--table", "1", "--methods", "vekd"), ["--methods", "--table"]),
        (("--table", "1", "--tasks", "fpb"), ["Table 1", "'fpb'"]),
        (("--table", "2", "--models", "tinybrt=mini_general"), ["tinybrt", "did you mean 'tinybert'"]),
        (("--table", "2", "--models", "tinybert"), ["tinybert=FOLDER"]),
        (("--models", "tinybert=mini_general"), ["--models", "--table"]),
        (("--figure", "1"), ["Figure 1", "2, 3, 4"]),
        (("--figure", "4", "--share", "0.5"), ["--share", "--figure 4", "own values"]),
        (("--figure", "2", "--tolerance", "0"), ["--tolerance=0", "above 0"]),
        (("--figure", "3", "--tasks", "fpb"), ["Figure 3", "none of them"]),
        (("--space", "mini"), ["--space", "--trials"]),
        (("--prune", "asha"), ["--prune", "--trials"]),
        (("--trials", "0"), ["--trials=0", "at least 1"]),
        (("--trials", "2", "--space", "minni"), ["'minni'", "did you mean 'mini'"]),
        (("--trials", "2", "--space", "wide", "--sampler", "grid"), ["no end of values"]),
    ],
)
def test_what_cannot_be_is_refused_before_training(
    arguments: tuple[str, ...], said: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        options.run_command(vekd.main, [*MINI, *arguments, "--storage", str(tmp_path / "runs")])
    assert ended.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert [word for word in said if word not in line] == [], line
    assert not (tmp_path / "runs" / "stages").exists()


def test_a_corpus_file_is_named_by_its_whole_path_and_a_moved_one_is_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Workers have a current folder of their own; and what counts is what the file holds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("one text of the domain\nanother one\n")
    given = vekd.parser().parse_args([*MINI, "--corpus", "text.txt"])
    setting = vekd._setting(given, vekd.DEFAULTS["mini"])
    assert setting.text.corpus == str(tmp_path / "text.txt")
    found = account(capsys, tmp_path / "runs", "--corpus", "text.txt")
    assert found["TokenizedCorpus"][1] == 2


def test_students_of_other_sizes_have_names_of_their_own() -> None:
    def name(*arguments: str) -> str:
        return vekd._student(vekd.parser().parse_args(arguments), vekd.DEFAULTS["paper"]).name

    assert name() == "student_l6h768"
    assert name("--layers", "0,1,2,3,4,5") == "student_l6h768"
    assert name("--layers", "0,5,11") == "student_l3"
    assert name("--hidden-size", "384", "--heads", "12") == "student_l6h384"


def command(storage: Path, *arguments: str, module: str = "orchestrator.vekd") -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--storage", str(storage)],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


SMALL = (
    *MINI,
    "--tasks",
    "hoc,bioasq",
    "--epochs",
    "1",
    "--train-limit",
    "64",
    "--share",
    "0.1",
    "--distil-epochs",
    "2",
)


@pytest.mark.slow
def test_a_small_run_from_end_to_end(tmp_path: Path) -> None:
    out = command(tmp_path, *SMALL)
    stages = [json.loads(path.read_text())["stage"] for path in (tmp_path / "stages").glob("*/stage.json")]
    assert Counter(stages)["MaskedLMDistillation"] == 2
    assert Counter(stages)["FineTune"] == 6
    assert "Macro-average" in out
    store = Store(str(tmp_path))
    found = rows.read(store.filesystem, store.root)
    expanded = found[found.method == "vekd"]
    assert set(expanded.task) == {"hoc", "bioasq"}
    assert (expanded.share == 0.1).all()
    assert expanded.pretraining_loss.notna().all()
    assert expanded.parameters.min() > found[found.method == "distilbert"].parameters.max(), "more pieces"
    again = command(tmp_path, *SMALL)
    assert "0 stages trained" in again
    shown = command(tmp_path, "vekd", "--table", "1", module="orchestrator.leaderboard")
    assert "83.21" in shown, "the paper's numbers stand there in any case"


@pytest.mark.slow
def test_a_small_search_from_end_to_end(tmp_path: Path) -> None:
    weights = "kl_weight: 2\ncosine_weight: 5\nmlm_weight: 1\nmse_weight: 1\n"
    (tmp_path / "small.yaml").write_text(f"vocabulary_size: [base, 1000]\ntolerance: [0, 0.1]\n{weights}")
    search = (*SMALL, "--trials", "4", "--space", str(tmp_path / "small.yaml"), "--prune", "asha")
    out = command(tmp_path, *search)
    assert "best settings as a command" in out
    assert "--vocabulary-size" in out
    store = Store(str(tmp_path))
    found = rows.read(store.filesystem, store.root)
    trials = found[found.trial.notna()]
    assert len(trials) == 4 * 2
    again = command(tmp_path, *search)
    assert "0 stages trained" in again
