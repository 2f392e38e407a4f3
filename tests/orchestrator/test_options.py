"""The options that all sweep commands share: what they mean, and what is refused and how."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from orchestrator import options
from orchestrator.options import SweepOptions
from trainables.data import tasks
from trainables.errors import UserError
from trainables.stages import Pretrained


def resolve(*arguments: str) -> SweepOptions:
    made = parser()
    return options.resolve(options.parse(made, arguments), "some_grid", tasks.STILT_TASKS)


def parser() -> argparse.ArgumentParser:
    made = options.parser("orchestrator.some_grid", "Trains something.", "python -m orchestrator.some_grid --dry-run")
    made.add_argument("--intermediates", metavar="T,...", help="intermediate tasks")
    return made


def config(folder: Path, text: str) -> str:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my-model"
    made.mkdir()
    return made


# --- what they mean ------------------------------------------------------------------------------------------


def test_the_mini_preset_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_STORAGE", raising=False)
    chosen = resolve("--preset", "mini")
    assert list(chosen.models) == ["mini_general", "mini_domain"]
    assert chosen.tasks == tasks.STILT_TASKS
    assert chosen.seeds == (0,)
    assert chosen.data == "mini"
    assert chosen.storage == "./runs"
    assert chosen.sweep == "some_grid_mini"
    assert chosen.fine_tuning() == {"data": "mini"}
    assert (chosen.shares.threads, chosen.shares.gpu_fraction, chosen.shares.max_concurrent) == (1, None, None)
    assert (chosen.dry_run, chosen.report_only) == (False, False)


def test_every_option_arrives(tmp_path: Path) -> None:
    chosen = resolve(
        *("--preset", "paper", "--models", "mini_domain, bert_base", "--tasks", "gad,ddi,gad", "--seeds", "2,0,2,00"),
        *("--data", str(tmp_path), "--storage", "s3://bucket/runs", "--sweep", "my.grid-1", "--epochs", "2"),
        *("--train-limit", "64", "--max-concurrent", "3", "--gpu-fraction", "0.5", "--threads", "2"),
        *("--workers", "4"),
        *("--checkpoint-seconds", "5", "--keep-models", "none", "--dry-run", "--report-only"),
    )
    assert list(chosen.models) == ["mini_domain", "bert_base"]
    assert chosen.tasks == ("gad", "ddi")
    assert chosen.seeds == (2, 0)
    assert chosen.data == str(tmp_path.resolve())
    assert chosen.storage == "s3://bucket/runs"
    assert chosen.sweep == "my.grid-1"
    assert chosen.fine_tuning() == {"data": str(tmp_path.resolve()), "epochs": 2, "train_limit": 64}
    assert (chosen.shares.threads, chosen.shares.gpu_fraction, chosen.shares.max_concurrent) == (2, 0.5, 3)
    assert (chosen.shares.checkpoint_seconds, chosen.shares.workers) == (5, 4)
    assert (chosen.keep_models, chosen.dry_run, chosen.report_only) == ("none", True, True)


def test_relative_folders_mean_the_same_to_workers_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    chosen = resolve("--models", "small=./my-model", "--data", "data")
    assert chosen.models == {"small": Pretrained(str(folder.resolve()))}
    assert chosen.data == str((tmp_path / "data").resolve())
    assert list(resolve("--models", "my-model", "--data", "data").models) == ["my-model"]
    assert resolve("--data", "random:3:data").data == f"random:3:{(tmp_path / 'data').resolve()}"
    assert resolve("--data", "random:3:mini").data == "random:3:mini"


def test_the_environment_names_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE", "/nfs/runs")
    assert resolve("--preset", "mini").storage == "/nfs/runs"
    assert resolve("--preset", "mini", "--storage", "here").storage == "here"


def test_a_file_of_options_goes_behind_the_command_line(tmp_path: Path) -> None:
    file = config(
        tmp_path,
        """
        preset: mini
        models: mini_domain
        tasks: [gad, ddi]
        seeds: [0, 1]
        train-limit: 32
        max_concurrent: 2
        gpu-fraction: 1
        sweep: 7
        intermediates: hoc
        keep-models: all
        dry-run: true
        epochs:
        """,
    )
    chosen = resolve("--config", file, "--seeds", "5", "--train-limit", "64")
    assert chosen.seeds == (5,)
    assert chosen.overrides["train_limit"] == 64
    assert list(chosen.models) == ["mini_domain"]
    assert chosen.tasks == ("gad", "ddi")
    assert chosen.shares.max_concurrent == 2
    assert chosen.shares.gpu_fraction == 1
    assert (chosen.preset, chosen.sweep, chosen.keep_models, chosen.dry_run) == ("mini", "7", "all", True)
    assert "epochs" not in chosen.overrides
    assert options.parse(parser(), ["--config", file]).intermediates == "hoc"


def test_one_seed_in_a_file_need_not_be_a_list(tmp_path: Path) -> None:
    assert resolve("--config", config(tmp_path, "{preset: mini, seeds: 3}")).seeds == (3,)
    assert resolve("--config", config(tmp_path, "{preset: mini, seeds: '1,2'}")).seeds == (1, 2)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert resolve("--preset", "mini", "--config", config(tmp_path, "# nothing\n")) == resolve("--preset", "mini")


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], r"--epochs=0 must be at least 1"),
        (["--train-limit", "-1"], r"--train-limit=-1 must be at least 1"),
        (["--max-length", "0"], r"--max-length=0 must be at least 8"),
        (["--max-length", "7"], r"--max-length=7 must be at least 8"),
        (["--max-concurrent", "0"], r"--max-concurrent=0 must be at least 1"),
        (["--threads", "0"], r"--threads=0 must be at least 1"),
        (["--workers", "0"], r"--workers=0 must be at least 1"),
        (["--gpu-fraction", "0"], r"--gpu-fraction=0.0 must be above 0 and at most 1"),
        (["--gpu-fraction", "1.5"], r"--gpu-fraction=1.5 must be above 0 and at most 1"),
        (["--gpu-fraction", "nan"], r"--gpu-fraction=nan must be above 0"),
        (["--checkpoint-seconds", "-1"], r"--checkpoint-seconds=-1.0 must be at least 0"),
        (["--checkpoint-seconds", "nan"], r"--checkpoint-seconds=nan must be at least 0"),
        (["--seeds", "0,x"], r"--seeds: 'x' is no whole number of at least 0; give a list such as 0,1,2"),
        (["--seeds", "-1"], r"--seeds: '-1' is no whole number"),
        (["--seeds", "²"], r"--seeds: '²' is no whole number"),
        (["--seeds", ","], r"--seeds=',' names nothing; give a comma-separated list"),
        (["--tasks", "gad,chemprott"], r"unknown task 'chemprott'; did you mean 'chemprot'\?"),
        (["--tasks", " "], r"--tasks=' ' names nothing"),
        (["--models", "mini_generall"], r"unknown model 'mini_generall'.*did you mean 'mini_general'\?"),
        (["--models", "mini_general,a=mini_general"], r"'a=mini_general' is the same model as another one"),
        (["--models", "a=mini_general,a=mini_domain"], r"'a=mini_domain' is called 'a', as another one is"),
        (["--sweep", "a/b"], r"--sweep='a/b' must be made of letters, digits"),
        (["--sweep", ""], r"--sweep='' must be made of letters, digits"),
        (["--storage", ""], r"--storage='' names nothing; give a folder"),
        (["--data", ""], r"data folder '' does not exist"),
        (["--config", ""], r"--config '' cannot be read"),
        (["--sweep", "../up"], r"--sweep='../up' must be made of"),
        (["--data", "/no/such/folder"], r"data folder '/no/such/folder' does not exist"),
        (["--data", "random:0:/no/such/folder"], r"data folder '/no/such/folder' does not exist"),
        (["--data", "random:mini"], r"data source 'random:mini': random:SEED:SOURCE expected"),
    ],
)
def test_impossible_values_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve("--preset", "mini", *arguments)


def test_the_paper_without_its_data_is_told_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"python -m orchestrator.prepare_data"):
        resolve()


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "one" / "model", tmp_path / "two" / "model"
    one.mkdir(parents=True)
    two.mkdir(parents=True)
    with pytest.raises(UserError, match=r"is called 'model', as another one is; name it with NAME="):
        resolve("--preset", "mini", "--models", f"{one},{two}")
    assert list(resolve("--preset", "mini", "--models", f"a={one},b={two}").models) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: gad", r"unknown option 'task'; did you mean 'tasks'\?"),
        ("help: true", r"unknown option 'help'"),
        ("config: other.yaml", r"unknown option 'config'"),
        ("5: x", r"unknown option 5"),
        ("epochs: many", r"epochs='many' must be a whole number"),
        ("epochs: 1.5", r"epochs=1.5 must be a whole number"),
        ("epochs: true", r"epochs=True must be a whole number"),
        ("gpu-fraction: half", r"gpu-fraction='half' must be a number"),
        ("dry-run: 1", r"dry-run=1 must be true or false"),
        ("keep-models: beast", r"keep-models='beast' is no valid choice; did you mean 'best'\?"),
        ("preset: papers", r"preset='papers' is no valid choice; did you mean 'paper'\?"),
        ("data: [a, b]", r"data=\['a', 'b'\] is a list; it must be text"),
        ("storage: {a: b}", r"storage={'a': 'b'} is a dict; it must be text"),
        ("sweep: true", r"sweep=True is a bool; it must be text"),
        ("tasks: [gad, [ddi]]", r"tasks=\['ddi'\] is a list; it must be text"),
        ("tasks: []", r"--tasks=\[\] names nothing"),
        ("- tasks", r"must be a mapping of options to values, not a list"),
        ("tasks: [gad", r"is no valid YAML"),
        ("epochs: 3\nseeds: 0\nepochs: 4", r"sweep.yaml': 'epochs' stands 2 times in one mapping \(lines 1, 3\)"),
        ("max-length: 64\nmax_length: 32", r"'max_length' and 'max-length' are one option; give it once"),
        ("a\x00b", r"is no valid YAML"),
    ],
)
def test_a_bad_file_of_options_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve("--preset", "mini", "--config", config(tmp_path, text))


def test_an_unreadable_file_of_options_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--config .*none.yaml' cannot be read"):
        resolve("--config", str(tmp_path / "none.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"--config .*binary.yaml' cannot be read"):
        resolve("--config", str(tmp_path / "binary.yaml"))


@pytest.mark.parametrize("arguments", [["--epoch", "1"], ["--epochs", "x"], ["--preset", "big"], ["--tasks"]])
def test_unknown_or_incomplete_options_end_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        resolve(*arguments)
    assert caught.value.code == 2
    assert "usage: python -m orchestrator.some_grid" in capsys.readouterr().err


def test_help_names_every_option_and_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    text = capsys.readouterr().out
    wanted = (
        *("--preset", "--models", "--tasks", "--intermediates", "--seeds", "--data", "--storage", "--epochs"),
        *(
            "--train-limit",
            "--max-concurrent",
            "--gpu-fraction",
            "--keep-models",
            "--threads",
            "--dry-run",
            "--workers",
        ),
        *("--report-only", "--config", "--sweep", "examples:\n  python -m orchestrator.some_grid --dry-run"),
    )
    assert [name for name in wanted if name not in text] == []


# --- how a command ends --------------------------------------------------------------------------------------


def ends(action: object) -> int:
    def main(arguments: object) -> int:
        if isinstance(action, BaseException):
            raise action
        return action  # type: ignore[return-value]

    with pytest.raises(SystemExit) as caught:
        options.run_command(main)
    return int(caught.value.code or 0)


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(0) == 0
    assert ends(1) == 1
    assert ends(UserError("the value is wrong")) == 2
    assert capsys.readouterr().err == "error: the value is wrong\n"
    assert ends(KeyboardInterrupt()) == 130
