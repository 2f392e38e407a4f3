"""The command that trains the expressions of a file: what it reads, refuses, warns of, and a real run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import expression_files, models, run
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.recipe import Recipe
from orchestrator.search import report
from tests.test_project import loaded_by
from trainables.data import tasks
from trainables.errors import UserError
from trainables.stages import CrossValidation, FineTune, MaskedLanguageModel, RandomInit

ROOT = Path(__file__).resolve().parents[2]
TINY = RandomInit("mini:general", vocabulary_size=300, hidden_size=16, layers=1, heads=2, intermediate_size=32)
QUICK: dict[str, Any] = {"epochs": 1, "train_limit": 32, "batch_size": 16, "max_length": 32}
BARE = {"stage": "FineTune", "task": "gad", "data": "mini", "init": "mini_general"}


def file(folder: Path, content: object, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def command(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.run", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- reading -------------------------------------------------------------------------------------------------


def test_what_a_search_wrote_is_read_back(tmp_path: Path) -> None:
    recipes = [Recipe(FineTune("gad", TINY, "mini", seed=seed), "doktra", "mini", "gad", seed) for seed in (0, 1)]
    report.write_expressions(tmp_path / "best.json", [*recipes, recipes[0]])
    assert run.read(tmp_path / "best.json") == (recipes, [])


def test_a_bare_stage_gets_labels_and_a_models_name_becomes_its_expression(tmp_path: Path) -> None:
    ((recipe,), warnings) = run.read(file(tmp_path, [{**BARE, "seed": 3, "epochs": None}]))
    assert recipe == Recipe(
        FineTune("gad", models.resolve("mini_general")[1], "mini", seed=3), "expression", "MLM mini:general", "gad", 3
    )
    assert warnings == []


def test_a_recipe_may_lack_labels(tmp_path: Path) -> None:
    ((recipe,), _) = run.read(file(tmp_path, [{"stage": BARE, "method": "ft_cpl", "teachers": ["biobert"]}]))
    assert (recipe.method, recipe.model, recipe.task, recipe.seed) == ("ft_cpl", "MLM mini:general", "gad", 0)
    assert recipe.teachers == ("biobert",)


def test_one_stage_alone_and_the_stores_own_file(tmp_path: Path) -> None:
    stage = FineTune("gad", TINY, "mini")
    assert run.read(file(tmp_path, stage.to_json()))[0][0].stage == stage


def test_numbers_read_as_people_write_them(tmp_path: Path) -> None:
    text = "- {stage: FineTune, task: gad, data: mini, init: mini_general, learning_rate: 2e-5, confidence_penalty: 1}"
    stage = run.read(file(tmp_path, text))[0][0].stage
    assert isinstance(stage, FineTune)
    assert (stage.learning_rate, stage.confidence_penalty) == (2e-5, 1.0)
    as_json = json.dumps([{**BARE, "learning_rate": 2e-05}])
    assert run.read(file(tmp_path, as_json, "mine.json"))[0][0].stage == run.read(file(tmp_path, as_json))[0][0].stage


def test_data_in_a_folder_is_found_from_wherever_a_worker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blurb").mkdir()
    monkeypatch.chdir(tmp_path)
    stage = run.read(file(tmp_path, [{**BARE, "data": "blurb"}]))[0][0].stage
    assert isinstance(stage, FineTune)
    assert stage.data == str(tmp_path / "blurb")


def adapted(path: Path) -> MaskedLanguageModel:
    stage = expression_files.stage(path)
    assert isinstance(stage, MaskedLanguageModel)
    return stage


def test_paths_lead_from_the_files_own_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, here = tmp_path / "own", tmp_path / "here"
    for folder in (own, here):
        (folder / "weights").mkdir(parents=True)
        (folder / "blurb").mkdir()
        (folder / "text.txt").write_text("some words\n")
    (here / "other.txt").write_text("other words\n")
    monkeypatch.chdir(here)
    form = {"stage": "MaskedLanguageModel", "corpus": "text.txt", "init": "my=weights"}
    assert adapted(file(own, form)).corpus == str(own / "text.txt")
    assert adapted(file(own, form)).init.name == str(own / "weights")  # type: ignore[attr-defined]
    assert adapted(file(Path(), form)).corpus == str(here / "text.txt")
    assert adapted(file(own, {**form, "corpus": "other.txt"})).corpus == str(here / "other.txt")
    assert adapted(file(own, {**form, "corpus": "mini:domain"})).corpus == "mini:domain"
    pretrained = {**form, "init": {"stage": "Pretrained", "name": "weights"}}
    assert adapted(file(own, pretrained)).init.name == str(own / "weights")  # type: ignore[attr-defined]
    made = {**form, "init": {"stage": "RandomInit", "vocabulary": "text.txt"}}
    assert adapted(file(own, made)).init.vocabulary == str(own / "text.txt")  # type: ignore[attr-defined]
    file(own, {**form, "init": "mini_general"}, "inner.yaml")
    tuned = expression_files.stage(file(own, {**BARE, "data": "blurb", "init": "inner.yaml"}))
    stages = {type(stage): stage for stage in (tuned, *tuned.inputs)}
    assert stages[MaskedLanguageModel].corpus == str(own / "text.txt")  # type: ignore[attr-defined]
    assert stages[FineTune].data == str(own / "blurb")  # type: ignore[attr-defined]


def test_a_corpus_that_is_nowhere_is_refused_with_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    path = file(tmp_path / "own", {"stage": "MaskedLanguageModel", "corpus": "ohsumed.txt", "init": "mini_general"})
    places = f"{tmp_path}/own/ohsumed.txt and {tmp_path}/ohsumed.txt"
    with pytest.raises(UserError, match=rf"corpus 'ohsumed.txt': there is no such file .*looked for at {places}\)"):
        expression_files.stage(path)


def test_the_label_of_a_mean_over_folds_is_its_models(tmp_path: Path) -> None:
    folds = CrossValidation(tuple(FineTune(fold, TINY, "mini", seed=2) for fold in tasks.folds("gad@5")))
    recipe = run.read(file(tmp_path, [folds.to_json()]))[0][0]
    assert (recipe.model, recipe.task, recipe.seed) == (TINY.label(), "gad@5", 2)


def test_the_sweep_is_called_as_the_file() -> None:
    assert run.sweep_name(Path("runs/doktra_mini.best.json")) == "doktra_mini.best"
    assert run.sweep_name(Path("my file?.yaml")) == "my_file_"
    assert run.sweep_name(Path("..json")) != ""


# --- warnings ------------------------------------------------------------------------------------------------


def small_data(folder: Path) -> Path:
    """GAD in the JSON-lines layout."""
    inside = folder / "blurb" / tasks.get("gad").folder
    inside.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        lines = [json.dumps({"id": f"{split}{n}", "sentence": f"text {n}", "label": str(n % 2)}) for n in range(4)]
        (inside / f"{split}.json").write_text("\n".join(lines) + "\n")
    return folder / "blurb"


def test_changed_data_is_warned_of_once_and_the_key_is_todays(tmp_path: Path) -> None:
    data = small_data(tmp_path)
    first = FineTune("gad", TINY, str(data))
    pair = FineTune("ddi", first, "mini")
    recipes = [Recipe(pair, "stilt", "tiny", "ddi", 0), Recipe(first, "finetune", "tiny", "gad", 0)]
    path = tmp_path / "best.json"
    report.write_expressions(path, recipes)
    moved = tmp_path / "elsewhere"
    shutil.copytree(data, moved)
    path.write_text(path.read_text().replace(str(data), str(moved)))
    read, warnings = run.read(path)
    assert ([one.stage.key for one in read], warnings) == ([pair.key, first.key], []), "the same data elsewhere"

    train = moved / tasks.get("gad").folder / "train.json"
    train.write_text(train.read_text().replace("text 0", "another text"))
    from trainables.data import sources

    sources.fingerprint.cache_clear()
    read, warnings = run.read(path)
    assert len(warnings) == 1, "of the stage whose data it is, not of what starts from it"
    assert warnings[0].startswith(f"{first.label()}: the data of gad in {str(moved)!r} changed since")
    assert f"key {first.key[:8]}, now {read[1].stage.key[:8]}" in warnings[0]
    assert read[0].stage.key != pair.key


def test_an_edited_field_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    report.write_expressions(path, [Recipe(FineTune("gad", TINY, "mini"), "finetune", "tiny", "gad", 0)])
    path.write_text(path.read_text().replace('"hidden_size": 16', '"hidden_size": 32'))
    (warning,) = run.read(path)[1]
    assert warning.startswith("random 1x32: the corpus 'mini:general' of the vocabulary changed")
    assert "or the file was edited" in warning


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no valid YAML"),
        ("", "holds a NoneType; it must be a list"),
        ("a: b", "holds a dict; it must be a list"),
        ([], "holds no expression"),
        ({"format": 2, "recipes": []}, "format 2 is not known; this version reads 1"),
        ([BARE, 5], "expression 2: 5 is no mapping with the key 'stage'"),
        ([{**BARE, "stage": "FineTun"}], "expression 1: unknown stage 'FineTun'; did you mean 'FineTune'?"),
        ([{**BARE, "epoch": 3}], "FineTune has no field 'epoch'; did you mean 'epochs'?"),
        ([{**BARE, "task": "gda"}], "unknown task 'gda'; did you mean 'gad'?"),
        ([{**BARE, "task": 5}], "task=5 is a int; it must be a name"),
        ([{**BARE, "data": "nowhere"}], "data folder 'nowhere' does not exist"),
        ([{**BARE, "init": "mini_genral"}], "unknown model 'mini_genral'.*did you mean 'mini_general'?"),
        ([{**BARE, "init": 5}], "init=5 is a int; it must be a stage or a model's name"),
        ([{**BARE, "epochs": 0}], "epochs=0"),
        ([{**BARE, 5: 6}], "5 is no field of a stage"),
        ([{"stage": "Pretrained", "name": "x/y"}], "Pretrained solves no task"),
        ([{"stage": "TeacherOutputs", "teacher": BARE}], "TeacherOutputs solves no task"),
        ([{"stage": BARE, "metod": "x"}], "recipe has no field 'metod'; did you mean 'method'?"),
        ([{"stage": BARE, "task": "ddi"}], "task='ddi' is not that of its stage, which is 'gad'"),
        ([{"stage": BARE, "seed": "one"}], "seed='one' is a str; it must be int"),
        ([{"stage": BARE, "teachers": "biobert"}], "teachers='biobert' must be a list of names"),
        ([{"stage": BARE, "keys": 5}], "keys=5 must be a list of keys"),
    ],
)
def test_what_is_no_list_of_expressions_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        run.read(file(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.yaml", "- stage: FineTune\n  task: gad\n  epochs: 3\n  data: mini\n  init: mini_general\n  epochs: 4\n"),
        ("mine.yaml", "- {stage: FineTune, task: gad, init: {stage: FineTune, task: ddi, epochs: 3, epochs: 4}}\n"),
        ("mine.json", '[{"stage": "FineTune", "init": {"stage": "FineTune", "epochs": 3, "epochs": 4}}]'),
    ],
)
def test_a_field_that_is_given_twice_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(UserError, match=rf"{name}': 'epochs' stands 2 times in one mapping.*; give it once"):
        run.read(file(tmp_path, text, name))


def test_a_file_that_cannot_be_read_is_an_error_of_the_user(tmp_path: Path) -> None:
    assert "error: " in (output := command(tmp_path / "missing.json", code=2))
    assert "cannot be read" in output
    assert "Traceback" not in output
    assert "is no valid JSON" in command(file(tmp_path, "[{", "torn.json"), code=2)


def test_help_loads_nothing_heavy_and_shows_what_a_file_looks_like(tmp_path: Path) -> None:
    code = "import runpy; sys.argv = ['run', '--help']; runpy.run_module('orchestrator.run', run_name='__main__')"
    assert loaded_by(code) == set()
    assert "studies/doktra_mini.fpb.mini_domain.mini_general.joint.best.json" in run.EXAMPLES  # as a search calls it
    for example in run.DESCRIPTION.split("\n\n")[1::2][:2]:
        text = example.replace("data/blurb", "mini").replace("my_bert=./folder", "mini_domain")
        assert len(run.read(file(tmp_path, text.replace("init: bert_base", "init: mini_general")))[0]) == 1


# --- running -------------------------------------------------------------------------------------------------


def test_expressions_are_trained_found_again_and_shown(tmp_path: Path) -> None:
    first = FineTune("gad", TINY, "mini", seed=1, **QUICK)
    path, storage = file(tmp_path, [first.to_json(), {"stage": first.to_json(), "method": "mine"}]), tmp_path / "runs"
    output = command(path, "--storage", storage, "--dry-run")
    assert "2 recipes" in output
    assert not storage.exists()
    output = command(path, "--storage", storage)
    assert "2 stages trained" in output
    table = [line.split() for line in output.splitlines()]
    header = next(index for index, line in enumerate(table) if line[:3] == ["method", "model", "task"])
    assert [line[0] for line in table[header + 1 : header + 3]] == ["expression", "mine"]
    assert [line[-1] for line in table[header + 1 : header + 3]] == ["finished", "finished"]
    store = Store(str(storage))
    found = rows.read(store.filesystem, store.root)
    assert set(found.sweep) == {"mine"}
    assert set(found.key) == {first.key}
    assert "0 stages trained" in command(path, "--storage", storage)
    assert "expression" in command(path, "--storage", storage, "--report-only")
    assert "no rows of sweep other" in command(path, "--storage", storage, "--report-only", "--sweep", "other")
