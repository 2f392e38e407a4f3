"""The DoKTra command: what its options ask for, without running it (tests of the search do)."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from orchestrator import doktra, models, options
from orchestrator.doktra_recipes import Experiment, Setting
from orchestrator.search.phase import Search
from search_spaces import doktra as spaces
from tests.orchestrator.search.test_run import written_data
from trainables.data import tasks
from trainables.errors import UserError
from trainables.stages import (
    ActivationBoundaryDistillation,
    CrossValidation,
    FineTune,
    MaskedLanguageModel,
    TeacherOutputs,
)


def experiment(task: str = "fpb", **fields: Any) -> Experiment:
    named = models.resolve("mini_domain"), models.resolve("mini_general")
    return Experiment(task, *named, Setting("mini", 32, 64, **fields))


def search(*arguments: str) -> Search:
    given = options.parse(doktra.parser(), ["--preset", "mini", *arguments])
    preset = doktra.DEFAULTS["mini"]
    return doktra._search(given, preset, "sweep", doktra._experiment(given, preset, Setting("mini", 32, 64)), (0, 1))


MINI = spaces.defaults("mini")


class TestRecipes:
    def test_a_trial_is_the_papers_algorithm(self) -> None:
        recipe = experiment().distilled_recipe(MINI, 3)
        stage = recipe.stage
        assert isinstance(stage, ActivationBoundaryDistillation)
        teacher, student = stage.teacher_outputs.teacher, stage.student
        assert isinstance(teacher, FineTune)
        assert isinstance(student, FineTune)
        assert (teacher.confidence_penalty, teacher.epochs) == (MINI["beta1"], MINI["teacher_epochs"])
        assert (student.confidence_penalty, student.epochs) == (0.0, MINI["student_epochs"])
        assert (stage.confidence_penalty, stage.switch_rate) == (MINI["beta2"], MINI["gamma"])
        assert {teacher.seed, student.seed, stage.seed} == {3}
        assert (recipe.method, recipe.model, recipe.teachers) == ("doktra", "mini_general", ("mini_domain",))

    def test_a_tasks_own_warm_up_is_not_the_papers(self) -> None:
        stage = experiment("chemprot").student_recipe(MINI, 0).stage
        assert isinstance(stage, FineTune)
        assert (stage.warmup_steps, stage.warmup_ratio, stage.weight_decay) == (0, 0.0, 0.0)

    def test_folds_are_stages_under_a_mean(self) -> None:
        recipe = experiment("gad@10").distilled_recipe(MINI, 0)
        assert isinstance(recipe.stage, CrossValidation)
        assert [fold.task for fold in recipe.stage.folds] == list(tasks.folds("gad@10"))  # type: ignore[attr-defined]
        assert recipe.task == "gad@10"
        kinds = [type(stage) for stage in recipe.stage.walk() if stage.stored]
        assert (kinds.count(FineTune), kinds.count(TeacherOutputs)) == (20, 10)

    def test_what_does_not_depend_on_a_setting_is_shared(self) -> None:
        """The keys of teachers and students vary with their own hyperparameters only."""
        made = experiment()
        varied = {**MINI, "gamma": 0.6, "beta2": 0.0, "learning_rate": 1e-3, "epochs": 5}
        one, other = (made.distilled_recipe(chosen, 0).stage for chosen in (MINI, varied))
        assert one.key != other.key
        assert {stage.key for stage in one.walk()} - {one.key} == {stage.key for stage in other.walk()} - {other.key}

    def test_tapt_reads_the_text_of_its_own_fold(self) -> None:
        recipe = experiment("gad@3").tapt_recipe(MINI, 0, "tapt", epochs=1)
        assert isinstance(recipe.stage, CrossValidation)
        for fold in recipe.stage.folds:
            assert isinstance(fold, FineTune)
            assert isinstance(fold.init, MaskedLanguageModel)
            assert fold.init.corpus == f"task:{fold.task}"

    def test_without_calibration_the_teacher_has_no_penalty(self) -> None:
        stage = experiment().distilled_recipe(MINI, 0, calibrated=False).stage
        assert isinstance(stage, ActivationBoundaryDistillation)
        assert isinstance(stage.teacher, FineTune)
        assert stage.teacher.confidence_penalty == 0.0


class TestSearches:
    def test_jointly_there_is_one_study_over_everything(self) -> None:
        (phase,) = search().phases
        assert phase.name == "joint"
        assert list(phase.space.dimensions) == list(spaces.PARAMETERS)
        assert phase.make(MINI, 1, study="s", trial=4) == experiment().distilled_recipe(MINI, 1, study="s", trial=4)

    def test_staged_the_distillation_waits_for_the_other_two(self) -> None:
        phases = search("--search", "staged", "--published-first", "--task", "fpb").phases
        assert [(phase.name, phase.after) for phase in phases] == [
            ("teacher", ()),
            ("student", ()),
            ("distillation", ("teacher", "student")),
        ]
        for phase in phases:
            assert phase.space.contains(phase.picks[0])
        teacher = phases[0].make(MINI, 0)
        assert isinstance(teacher.stage, FineTune)
        assert teacher.stage.confidence_penalty == MINI["beta1"]

    def test_how_it_searches_where_that_is_not_said(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        made = search()
        assert [phase.name for phase in made.phases] == ["joint"]
        assert (made.sampler, made.pruner, made.sampler_seed) == ("tpe", "asha", 0)
        file = tmp_path / "mine.yaml"
        file.write_text("{search: staged, sampler: random, sampler-seed: 3, prune: none}")
        made = search("--config", str(file), "--sampler-seed", "0")
        assert len(made.phases) == 3
        assert (made.sampler, made.pruner, made.sampler_seed) == ("random", "none", 0)
        with pytest.raises(SystemExit):
            doktra.parser().parse_args(["--help"])
        said = re.sub(r"\s+", " ", capsys.readouterr().out)
        for default in ("(joint, the default)", "(tpe)", "of the sampler (0)", "(asha)"):
            assert default in said

    def test_a_study_is_of_its_task_and_models(self) -> None:
        names = {search("--task", task).name for task in ("fpb", "gad@10", "gad@1/10")}
        assert names == {
            "sweep.fpb.mini_domain.mini_general",
            "sweep.gad@10.mini_domain.mini_general",
            "sweep.gad@1-10.mini_domain.mini_general",
        }

    def test_what_scores_depend_on_is_the_studys_identity(self) -> None:
        one, other = search("--task", "fpb").identity, search("--task", "fts").identity
        assert {name for name in one if one[name] != other[name]} == {"task", "data"}

    def test_every_part_of_the_setting_is_in_the_identity(self, tmp_path: Path) -> None:
        """Whatever a setting gets in time: scores depend on all of it."""
        other: dict[str, Any] = {
            "data": str(written_data(tmp_path)),
            "batch_size": 16,
            "max_length": 32,
            "train_limit": 64,
            "method": {"margin": 2.0},
            "weight_decay": 0.01,
            "warmup_ratio": 0.1,
        }
        plain = experiment()
        assert other.keys() == {field.name for field in dataclasses.fields(Setting)}
        for name, value in other.items():
            changed = dataclasses.replace(plain, setting=dataclasses.replace(plain.setting, **{name: value}))
            assert doktra._identity(changed) != doktra._identity(plain), name

    def test_a_dry_run_says_how_large_the_space_is(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["--preset", "mini", "--search", "staged", "--dry-run", "--storage", str(tmp_path / "runs")]
        assert doktra.main([*arguments, "--trials", "10", "--seeds", "0,1"]) == 0
        said = re.sub(r"\s+", " ", capsys.readouterr().out)
        assert "teacher: 10 trials of 36 combinations" in said
        assert "26 trials, 2 seeds" in said  # of 6 students there are but six
        assert doktra.main([*arguments, "--trials", "1"]) == 0
        said = re.sub(r"\s+", " ", capsys.readouterr().out)
        assert "student: 1 trial of 6 combinations" in said
        assert "3 trials, 1 seed, sampler" in said
        assert "begun already" not in said


class TestCommand:
    def test_the_ready_command_asks_for_the_same_expressions(self) -> None:
        """What a search prints at its end trains what it found: the keys are equal."""
        arguments = ["--preset", "mini", "--task", "fpb", "--train-limit", "64", "--margin", "0.5", "--seeds", "0,3"]
        given = options.parse(doktra.parser(), arguments)
        preset = doktra.DEFAULTS["mini"]
        setting = Setting("mini", 32, 64, 64, {"margin": 0.5})
        asked = doktra._experiment(given, preset, setting)
        chosen = {**MINI, "gamma": 0.9, "learning_rate": 1e-3}
        line = shlex.split(doktra._command(given, asked, (0, 3), chosen))
        assert line[:3] == ["python", "-m", "orchestrator.doktra"]
        again = options.parse(doktra.parser(), line[3:])
        assert doktra._settings(again, asked) == chosen
        assert (again.train_limit, again.margin, again.seeds) == (64, 0.5, "0,3")
        assert doktra._experiment(again, preset, setting) == asked

    def test_settings_fill_up_from_the_papers_or_the_presets(self) -> None:
        paper = Experiment(
            "ddi",
            ("biobert", experiment().teacher[1]),
            ("roberta_large", experiment().student[1]),
            Setting("mini", 50, 128),
        )
        given = options.parse(doktra.parser(), ["--settings", "gamma=0.7"])
        assert doktra._settings(given, paper) == {**(spaces.published("ddi", "roberta_large") or {}), "gamma": 0.7}
        given = options.parse(doktra.parser(), ["--preset", "mini", "--settings", "gamma=0.7"])
        assert doktra._settings(given, experiment()) == {**MINI, "gamma": 0.7}
        given = options.parse(doktra.parser(), ["--preset", "mini", "--settings", "published"])
        with pytest.raises(UserError, match="the paper has none for 'fpb' with 'mini_general'"):
            doktra._settings(given, experiment())

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--tasks", "gad"], "--tasks does not apply to a search"),
            (["--models", "biobert=mini_domain"], "--models does not apply"),
            (["--table", "6", "--task", "gad"], "--task does not apply to --table"),
            (["--table", "6", "--trials", "5"], "--trials does not apply"),
            (["--settings", "gamma=0.5", "--published-first"], "--published-first does not apply to --settings"),
            (["--settings", "gamma=0.5", "--search", "joint"], "--search does not apply to --settings"),
            (["--settings", "gamma=0.5", "--sampler", "tpe"], "--sampler does not apply to --settings"),
            (["--settings", "gamma=0.5", "--sampler-seed", "0"], "--sampler-seed does not apply to --settings"),
            (["--table", "6", "--prune", "none"], "--prune does not apply to --table"),
            (["--table", "6", "--sampler-seed", "0"], "--sampler-seed does not apply to --table"),
        ],
    )
    def test_options_of_another_way_to_use_it_are_refused(self, arguments: list[str], said: str) -> None:
        with pytest.raises(UserError, match=said):
            doktra.main(["--preset", "mini", *arguments])

    def test_options_of_another_way_are_refused_in_a_file_too(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"
        file.write_text("{preset: mini, sampler-seed: 0, settings: gamma=0.5}")
        with pytest.raises(UserError, match="--sampler-seed does not apply to --settings"):
            doktra.main(["--config", str(file)])

    @pytest.mark.parametrize(("number", "cells"), [(2, 25), (3, 15), (4, 20), (5, 8), (6, 7), (7, 10)])
    def test_every_table_can_be_planned_in_miniature(
        self, number: int, cells: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["--preset", "mini", "--table", str(number), "--storage", str(tmp_path)]
        assert doktra.main([*arguments, "--dry-run"]) == 0
        folds = {2: 5 * 10, 3: 3 * 10, 5: 2 * 10}.get(number, 0)  # of GAD; each has a row of its own
        assert f"{cells + folds} recipes" in capsys.readouterr().out
        assert doktra.main([*arguments, "--report-only"]) == 0
        assert "no rows of sweep doktra_mini" in capsys.readouterr().out

    def test_a_model_may_be_a_file_of_an_expression(self, tmp_path: Path) -> None:
        file = tmp_path / "adapted.yaml"
        file.write_text("stage: MaskedLanguageModel\ncorpus: mini:domain\ninit: mini_general\nlearning_rate: 1e-3\n")
        name, stage = models.resolve(str(file))
        assert name == "adapted"
        assert stage == MaskedLanguageModel("mini:domain", models.resolve("mini_general")[1], learning_rate=1e-3)
        assert models.resolve(f"mine={file}")[0] == "mine"
        file.write_text(
            "stage: TeacherOutputs\nteacher: {stage: FineTune, task: gad, data: mini, init: mini_general}\n"
        )
        with pytest.raises(UserError, match="has no weights"):
            models.resolve(str(file))
