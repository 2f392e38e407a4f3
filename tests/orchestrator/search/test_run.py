"""The command refuses what cannot be searched: one line with the value and the rule, before anything is trained."""

from __future__ import annotations

import os
from pathlib import Path

import optuna
import pytest

from orchestrator import doktra, options
from orchestrator.engine import run as engine
from orchestrator.engine.store import Store
from orchestrator.search import run as searching
from search_spaces import doktra as spaces
from search_spaces.doktra import MINI_DEFAULTS

MINI = ("--preset", "mini", "--task", "fpb")


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(engine, "connected", refuse)


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Runs the command as the shell does; returns its exit code, output and errors."""
    with pytest.raises(SystemExit) as ended:
        options.run_command(doktra.main, arguments)
    written = capsys.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return code, written.out, written.err


def refused(capsys: pytest.CaptureFixture[str], storage: Path, *arguments: str) -> str:
    """The one line of a command that is refused before anything is trained."""
    code, _, errors = command(capsys, *arguments, "--storage", str(storage))
    assert code == 2
    assert not (storage / "stages").exists()
    *usage, line = [line for line in errors.strip().splitlines() if not line.startswith("note: ")]
    assert "error: " in line, errors
    assert not usage or usage[0].startswith("usage: "), errors
    return line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gama: [0.6]", ["mine.yaml", "'gama'", "did you mean 'gamma'"]),
        ("gamma: []", ["mine.yaml", "gamma", "empty"]),
        ("gamma: [0.6, 1.5]", ["mine.yaml", "gamma=1.5", "0", "1"]),
        ("gamma: {low: 0.5, high: 1.5}", ["gamma=1.5", "1"]),
        ("epochs: [0]", ["epochs=0", "at least 1"]),
        ("epochs: [1, 10]", ["mine.yaml", "gamma=0.6", "epochs=1", "begin at 1"]),
        ("{epochs: 3, gamma: [0.3, 0.5]}", ["gamma=0.3", "epochs=3", "begin at 0.3334"]),
        ("gamma: {low: 0, high: 0.9}", ["gamma=0", "epochs=5", "begin at 0.2"]),
        ("gamma: {low: 0, high: 0.9, step: 0.1}", ["gamma=0.1", "epochs=5", "begin at 0.2"]),
        ("beta1: [-0.1]", ["beta1=-0.1", "0"]),
        ("learning_rate: [0]", ["learning_rate=0", "above 0"]),
        ("gamma: {low: 0.9, high: 0.5}", ["gamma from 0.9 to 0.5", "low must be below high"]),
        ("base: papr", ["'papr'", "did you mean 'paper'"]),
        ("gamma: high", ["'high'"]),
        ("- 1", ["mine.yaml", "list"]),
    ],
)
def test_a_bad_space_is_refused_with_the_value_and_the_rule(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: list[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    line = refused(capsys, tmp_path / "runs", *MINI, "--space", str(file))
    assert [word for word in said if word not in line] == [], line


@pytest.mark.parametrize(
    "text", ["{epochs: 1, gamma: [0, 1]}", "{epochs: 3, gamma: [0.34, 0.67]}", "gamma: {low: 0, high: 1, step: 0.2}"]
)
def test_a_space_in_which_whoever_is_to_distil_does_is_none_of_these(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    code, out, _ = command(capsys, *MINI, "--space", str(file), "--dry-run", "--storage", str(tmp_path / "runs"))
    assert code == 0
    assert "12 trials" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--space", "papre"), ["'papre'", "did you mean 'paper'"]),
        (("--space", "nowhere.yaml"), ["nowhere.yaml", "cannot be read"]),
        (("--sampler", "tpee"), ["tpee", "tpe", "random", "grid", "gp"]),
        (("--prune", "hyperband"), ["hyperband", "asha", "none"]),
        (("--search", "both"), ["both", "joint", "staged"]),
        (("--trials", "0"), ["--trials=0", "at least 1"]),
        (("--trials", "-3"), ["--trials=-3", "at least 1"]),
        (("--batch-size", "0"), ["--batch-size=0", "at least 1"]),
        (("--max-length", "0"), ["--max-length=0", "at least 8"]),
        (("--space", ""), ["space ''", "mini", "paper", "wide"]),
        (("--sweep", ""), ["--sweep=''", "letters"]),
        (("--teacher", ""), ["model ''"]),
        (("--data", ""), ["data folder ''"]),
        (("--task", ""), ["task ''"]),
        (("--task", "bc5dr"), ["'bc5dr'"]),
        (("--task", "ncbi_disease"), ["'ncbi_disease'", "texts"]),
        (("--task", "gad@2"), ["gad@2", "2"]),
        (("--teacher", "mini_domian"), ["'mini_domian'", "did you mean 'mini_domain'"]),
        (("--student", "mini_genral"), ["'mini_genral'", "did you mean 'mini_general'"]),
        (("--seeds", "0,one"), ["'one'", "whole number"]),
        (("--sampler", "grid", "--space", "wide"), ["wide", "teacher_learning_rate", "no grid"]),
        (("--task", "bioasq", "--published-first"), ["--published-first", "'bioasq'", "chemprot"]),
        (("--settings", "gama=0.5"), ["'gama'", "did you mean 'gamma'"]),
        (("--settings", "gamma=1.5"), ["gamma=1.5"]),
        (("--settings", "epochs=1,gamma=0.8"), ["gamma=0.8", "epochs=1", "at least 2 epochs", "gamma=0"]),
        (("--task", "gad@1000000"), ["1000000 folds", "at most 100", "gad@100"]),
        (("--data", "nowhere"), ["nowhere"]),
    ],
)
def test_a_bad_option_is_refused_with_the_value_and_the_rule(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], said: list[str]
) -> None:
    line = refused(capsys, tmp_path / "runs", *MINI, *arguments)
    assert [word for word in said if word not in line] == [], line


def test_a_margin_or_scale_out_of_range_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "margin=-1.0" in refused(capsys, tmp_path, *MINI, "--margin", "-1")
    assert "boundary_scale=0.0" in refused(capsys, tmp_path, *MINI, "--boundary-scale", "0")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--task", "gad", "--settings", "gamma=1.2"), ["gamma=1.2", "1"]),
        (("--settings", "gama=0.8"), ["'gama'", "did you mean 'gamma'"]),
        (("--settings", "published", "--student", "roberta_base"), ["--settings=published", "'roberta_base'"]),
        (("--space", "wid"), ["'wid'", "did you mean 'wide'"]),
        (("--max-length", "7", "--space", "wid"), ["--max-length=7", "at least 8"]),
        (("--sampler", "grid", "--space", "wide"), ["wide", "no grid"]),
        (("--task", "bc5chem"), ["'bc5chem'", "texts"]),
        (("--task", "bioasq", "--published-first"), ["--published-first", "'bioasq'", "chemprot"]),
        (("--settings", "epochs=1"), ["epochs=1", "at least 2 epochs"]),
        (("--table", "2", "--task", "gad"), ["--task does not apply to --table"]),
        (("--table", "2", "--tasks", "gadd"), ["'gadd'", "did you mean 'gad"]),
        (("--table", "2", "--models", "biobert"), ["'biobert' must be NAME=MODEL", "biobert=FOLDER"]),
        (("--table", "2", "--models", "biobert="), ["'biobert=' must be NAME=MODEL", "biobert=FOLDER"]),
        (("--table", "2", "--models", "biobert=bert_base,biobert=x/y"), ["biobert is given twice, bert_base and x/y"]),
        (("--table", "2", "--models", "biobrt=bert_base"), ["biobrt=bert_base", "did you mean 'biobert'"]),
        (("--settings", "gamma=0.8", "--trials", "5"), ["--trials does not apply to --settings"]),
        (("--student", "roberta_lrge"), ["'roberta_lrge'", "did you mean 'roberta_large'"]),
        (("--space", "wid", "--student", "roberta_lrge"), ["'wid'"]),
        (("--margin", "-1"), ["margin=-1.0"]),
        ((), ["data/blurb"]),
        (("--settings", "gamma=0.8"), ["data/blurb"]),
        (("--table", "2"), ["data/blurb"]),
    ],
)
def test_what_is_wrong_by_itself_is_refused_for_that_where_there_are_no_data_yet(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, tmp_path / "runs", *arguments)
    assert [word for word in said if word not in line] == [], line
    assert ("data folder" in line) == (said == ["data/blurb"])


class BegunError(Exception):
    """The search would begin to train."""


def begin(monkeypatch: pytest.MonkeyPatch, storage: Path, *arguments: str) -> None:
    """Starts a search up to the moment when it would train."""

    def stop(*arguments: object, **options: object) -> None:
        raise BegunError

    with monkeypatch.context() as patch:
        patch.setattr(searching.sweep, "train", stop)
        with pytest.raises(BegunError):
            doktra.main([*MINI, *arguments, "--storage", str(storage)])


@pytest.mark.parametrize("search", ["joint", "staged"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--seeds", "0,1,2"), ["seeds=[0, 1]", "[0, 1, 2]"]),
        (("--space", "paper"), ["space="]),
        (("--batch-size", "16"), ["batch_size=32", "16"]),
        (("--margin", "2"), ["margin=1.0", "2.0"]),
        (("--data", "OTHER"), ["data="]),
    ],
)
def test_a_sweep_is_not_continued_with_something_else(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    search: str,
    change: tuple[str, str],
    said: list[str],
) -> None:
    if change == ("--data", "OTHER"):
        change = ("--data", str(written_data(tmp_path / "data")))
    begin(monkeypatch, tmp_path / "runs", "--seeds", "0,1", "--search", search)
    arguments = [*MINI, "--seeds", "0,1", "--search", search, *change]
    line = refused(capsys, tmp_path / "runs", *arguments)
    assert [word for word in [*said, "--sweep"] if word not in line] == [], line
    begin(monkeypatch, tmp_path / "runs", "--seeds", "0,1", "--search", search)  # the old one goes on


def written_data(folder: Path) -> Path:
    """Other data of the same task."""
    from trainables.data import tasks

    labels = tasks.get("fpb").labels
    files = folder / "seqcls" / "FPB_hf"
    files.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        lines = [
            f'{{"id": "{split}{number}", "sentence": "profit {number}", "label": "{labels[number % 3]}"}}'
            for number in range(6)
        ]
        (files / f"{split}.json").write_text("\n".join(lines) + "\n")
    return folder


def test_a_dry_run_says_what_a_search_would_be_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = command(capsys, *MINI, "--dry-run", "--storage", str(tmp_path / "runs"))
    assert code == 0
    assert "joint: 12 trials" in out
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_says_what_is_finished_already(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begin(monkeypatch, tmp_path)
    journal = tmp_path / "studies" / "doktra_mini.journal"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name="doktra_mini.fpb.mini_domain.mini_general.joint", storage=storage)
    for state in ("COMPLETE", "PRUNED"):
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState[state],
            value=71.5 if state == "COMPLETE" else None,
            params=spaces.MINI.nearest(MINI_DEFAULTS),
            distributions=spaces.MINI.distributions(),
        )
        study.add_trial(trial)
    before = journal.read_bytes()
    code, out, errors = command(capsys, *MINI, "--dry-run", "--storage", str(tmp_path))
    assert code == 0, errors
    assert "joint: 12 trials" in out
    assert "begun already: doktra_mini.fpb.mini_domain.mini_general.joint, 2 trials: 1 complete, 1 pruned." in out
    assert "Best: 71.50, trial 0" in out
    assert journal.read_bytes() == before
    assert "begun already" not in command(capsys, *MINI, "--dry-run", "--task", "fts", "--storage", str(tmp_path))[1]
    line = refused(capsys, tmp_path, *MINI, "--dry-run", "--space", "paper")
    assert "was begun with space=" in line


def test_only_reporting_a_search_that_has_not_begun_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = command(capsys, *MINI, "--report-only", "--storage", str(tmp_path / "runs"))
    assert code == 0
    assert "no search of sweep doktra_mini" in out
    assert not (tmp_path / "runs").exists()


def test_picks_are_queued_before_anything_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begin(monkeypatch, tmp_path, "--published-first")
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "studies" / "doktra_mini.journal"))
    )
    (summary,) = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    queued = study.get_trials()
    assert len(queued) == 2, "the paper has settings of two other students for this task"
    for trial in queued:
        assert trial.state is optuna.trial.TrialState.WAITING
        assert trial.system_attrs["fixed_params"].keys() == MINI_DEFAULTS.keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--space", "wide"),
            "all values of teacher_learning_rate, student_learning_rate, learning_rate are far below",
        ),
        (("--space", "wide", "--teacher", "biobert"), "all values of student_learning_rate, learning_rate are far"),
        (("--space", "mini"), ""),
        (("--space", "wide", "--report-only"), ""),
    ],
)
def test_learning_rates_that_are_too_low_for_miniature_models_are_noted(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(searching, "run", lambda *_, **__: 0)  # a note goes before a search, whatever its models are
    monkeypatch.setattr(doktra, "_identity", lambda _: {})
    code, _, errors = command(capsys, *MINI, *arguments, "--dry-run", "--storage", str(tmp_path / "runs"))
    assert code == 0
    assert errors.count("note: ") == bool(said)
    assert said in errors


def test_a_report_goes_to_the_current_folder_where_the_storage_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "runs"))
    (tmp_path / "runs" / "studies").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert searching._folder_of_reports(store) == tmp_path / "runs" / "studies"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write anywhere
    assert searching._folder_of_reports(store) == tmp_path
