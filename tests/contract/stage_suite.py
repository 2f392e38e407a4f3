"""What every stage must do: inherit :class:`StageSuite` and give a ``stage`` that is done in about a second."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import pytest

from orchestrator.engine.store import Store
from tests.contract.beside import beside
from trainables.context import PREDICTIONS, Progress
from trainables.errors import StageError
from trainables.execution import Execution, Job
from trainables.expression import Stage, from_json


def to_end(execution: Execution) -> list[Progress]:
    """Advances an execution step by step."""
    made = []
    while (progress := execution.advance(0)) is not None:
        made.append(progress)
    return made


def content(store: Store, key: str) -> dict[str, bytes]:
    """The files of an entry but those that tell of time and place."""
    folder = Path(store.root) / "stages" / key
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "result.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def found(result: dict[str, Any] | None) -> dict[str, Any]:
    """What a result says of the stage, not of the run."""
    assert result is not None
    return {name: result[name] for name in ("key", "metrics", "history", "facts", "files", "fingerprints")}


@dataclasses.dataclass
class Workshop:
    """Gives every test a store in which the stage's inputs are finished."""

    stage: Stage
    template: Path
    folder: Path
    made: int = 0

    def store(self) -> Store:
        self.made += 1
        folder = self.folder / f"store{self.made}"
        shutil.copytree(self.template, folder)
        return Store(str(folder))

    def job(self, **settings: Any) -> Job:
        # As text, for that is how it comes to a worker.
        return Job.from_text(Job.of(self.stage, **settings).to_text())


class StageSuite:
    """The contract; a subclass overrides the fixture ``stage``."""

    #: Whether the stage is long enough to save checkpoints.
    saves_checkpoints = True
    #: Whether it writes predictions.
    predicts = False
    #: Fields that its key has something else in place of.
    unkeyed: frozenset[str] = frozenset()
    #: Whether it runs a model, so that there are parameters to tell of.
    runs_model = True
    #: Files that it writes beside weights and predictions.
    writes: frozenset[str] = frozenset()

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def template(cls, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("inputs")
        store = Store(str(folder))
        store.storage.check_writable()
        for each in stage.walk():
            if each.stored and each.key != stage.key:
                to_end(Execution(Job.of(each), store))
        return folder

    @pytest.fixture
    def workshop(self, stage: Stage, template: Path, tmp_path: Path) -> Workshop:
        return Workshop(stage, template, tmp_path)

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, stage: Stage, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
        """A store in which the stage was run without interruption; not to be changed."""
        workshop = Workshop(stage, template, tmp_path_factory.mktemp("finished"))
        store = workshop.store()
        to_end(Execution(workshop.job(), store))
        return store

    @pytest.fixture
    def same(self, finished: Store, stage: Stage) -> Iterator[Callable[[Store], None]]:
        """Checks that a store has what the uninterrupted run made, bit for bit."""

        def check(store: Store) -> None:
            assert found(store.result(stage.key)) == found(finished.result(stage.key))
            assert content(store, stage.key) == content(finished, stage.key)
            assert store.storage.names("checkpoints") == []
            assert store.storage.names("tmp") == []

        return check

    # --- the expression --------------------------------------------------------------------------------------

    def test_it_is_read_back_from_its_entry(self, stage: Stage, finished: Store) -> None:
        form = finished.stage_json(stage.key)
        assert form is not None
        again = from_json(form)
        assert again == stage
        assert again.key == stage.key
        assert json.loads(json.dumps(stage.to_json())) == form

    def test_it_travels_with_its_key(self, stage: Stage) -> None:
        assert stage.key
        travelled = pickle.loads(pickle.dumps(stage))
        assert travelled == stage
        assert travelled.__dict__["key"] == stage.key

    def test_defaults_and_locations_are_not_in_its_key(self, stage: Stage) -> None:
        fields = stage.canonical()["fields"]
        for field in dataclasses.fields(stage):
            value = getattr(stage, field.name)
            located, default = field.metadata.get("located") and not isinstance(value, Stage), value == field.default
            if located or default or field.name in self.unkeyed:
                assert field.name not in fields
            else:
                assert field.name in fields
        assert dataclasses.replace(stage).key == stage.key
        assert stage.unkeyed == {name: getattr(stage, name) for name in self.unkeyed}

    def test_its_label_is_one_short_line(self, stage: Stage) -> None:
        assert 0 < len(stage.label()) < 80
        assert "\n" not in stage.label()

    # --- the result ------------------------------------------------------------------------------------------

    def test_its_result_has_the_documented_fields(self, stage: Stage, finished: Store) -> None:
        result = finished.result(stage.key)
        assert result is not None
        assert (result["format"], result["key"]) == (1, stage.key)
        assert result["fingerprints"] == stage.fingerprints()
        assert all(math.isfinite(value) for value in result["metrics"].values())
        assert all(name.split("/")[0] in ("dev", "test") for name in result["metrics"])
        assert all(math.isfinite(value) for entry in result["history"] for value in entry.values())
        assert [entry["epoch"] for entry in result["history"]] == list(range(1, len(result["history"]) + 1))
        facts = result["facts"]
        assert not self.runs_model or facts["parameters"] > 0
        assert facts["steps"] >= len(result["history"])
        assert facts["tokens"] >= facts["steps"]
        cost = result["cost"]
        assert cost["seconds"] > 0
        assert cost["gpu_seconds"] == 0
        assert cost["peak_memory_bytes"] > 1 << 20
        told = result["provenance"]
        assert told["host"]
        assert told["device"].startswith("cpu")
        assert told["threads"] == 1
        started, ended = (datetime.fromisoformat(told[name]) for name in ("started_at", "finished_at"))
        assert started <= ended <= datetime.now(UTC)
        assert {"python", "torch", "transformers", "ray"} <= set(told["versions"])
        assert told["commit"]
        beside = {name for name in result["files"] if not name.startswith("model/")}
        assert beside == self.writes | ({PREDICTIONS} if self.predicts else set())

    def test_its_model_can_be_loaded_by_anyone(self, stage: Stage, finished: Store) -> None:
        import transformers

        assert finished.has_model(stage.key) == stage.makes_model
        if not stage.makes_model:
            assert not any(name.startswith("model/") for name in content(finished, stage.key))
            return
        folder = finished.fetch_model(stage.key)
        model = transformers.AutoModel.from_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        encoded = tokenizer("some words", return_tensors="pt")
        if tokenizer.cls_token_id is not None:  # GPT-2 and T5 have none
            assert encoded["input_ids"][0, 0] == tokenizer.cls_token_id
        if model.config.is_encoder_decoder:
            encoded["decoder_input_ids"] = encoded["input_ids"]
        assert model(**encoded).last_hidden_state.shape[:2] == encoded["input_ids"].shape
        assert not list(folder.glob("*.bin"))
        assert list(folder.glob("*.safetensors"))

    def test_running_it_again_elsewhere_gives_the_same(self, workshop: Workshop, same: Callable[[Store], None]) -> None:
        store = workshop.store()
        steps = to_end(Execution(workshop.job(), store))
        same(store)
        assert all(0 <= progress.step <= progress.total for progress in steps)
        assert steps[-1].phase

    # --- interruptions ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize("moments", [(0,), (1, 1), (4,), (2, 0, 3), (9,)])
    def test_it_goes_on_where_it_was_interrupted(
        self, workshop: Workshop, moments: tuple[int, ...], same: Callable[[Store], None]
    ) -> None:
        store = workshop.store()
        saved = 0
        for steps in moments:
            execution = Execution(workshop.job(), store)
            for _ in range(steps):
                execution.advance(0)
            execution.interrupt()
            assert store.storage.names("tmp") == []
            saved += store.load_checkpoint(workshop.stage.key) is not None
        if self.saves_checkpoints:
            assert saved > 0
        to_end(Execution(workshop.job(), store))
        same(store)

    def test_no_epoch_that_a_search_may_judge_is_kept_from_it_by_an_interruption(
        self, workshop: Workshop, same: Callable[[Store], None]
    ) -> None:
        """Nor by one that is noticed at an epoch's end: on its way to the checkpoint nothing is reported."""
        if not workshop.stage.prunable:
            pytest.skip("no search judges it before its end")
        undisturbed = to_end(Execution(workshop.job(), workshop.store()))
        epochs = [progress for progress in undisturbed if progress.metrics]
        assert [progress.step < progress.total for progress in epochs] == [True] * (len(epochs) - 1) + [False]
        for end in (number for number, progress in enumerate(undisturbed) if progress.metrics):
            store = workshop.store()
            execution = Execution(workshop.job(), store)
            for _ in range(end):
                execution.advance(0)
            execution.interrupt()
            Execution(workshop.job(), store).interrupt()  # once more, before anything was told again
            assert [progress for progress in to_end(Execution(workshop.job(), store)) if progress.metrics] == epochs
            same(store)

    @pytest.mark.parametrize("steps", [1, 3, 8])
    def test_it_goes_on_from_its_last_checkpoint_after_a_crash(
        self, workshop: Workshop, steps: int, same: Callable[[Store], None]
    ) -> None:
        store = workshop.store()
        execution = Execution(workshop.job(checkpoint_interval=0.0), store)
        for _ in range(steps):
            execution.advance(0)
        execution.abandon()
        again = Execution(workshop.job(), store)
        to_end(again)
        same(store)

    def test_a_damaged_checkpoint_costs_time_and_nothing_else(
        self, workshop: Workshop, same: Callable[[Store], None]
    ) -> None:
        store, key = workshop.store(), workshop.stage.key
        for damaged in (b"", b"no checkpoint"):
            store.save_checkpoint(key, damaged)  # whole, as the store sees it
            to_end(Execution(workshop.job(), store))
            same(store)
            store.storage.delete(f"stages/{key}")

    # --- several processes -----------------------------------------------------------------------------------

    def test_two_processes_find_what_one_does(self, workshop: Workshop, finished: Store) -> None:
        if not workshop.stage.data_parallel:
            pytest.skip("one process trains it")
        store, key = workshop.store(), workshop.stage.key
        job = workshop.job(workers=2, checkpoint_interval=0.0)
        with beside(job, store) as gather:
            to_end(Execution(job, store, gather))
        result, wanted = store.result(key), finished.result(key)
        assert result is not None
        assert wanted is not None
        assert len(result["history"]) == len(wanted["history"])
        # A divergence of almost nothing is a sum of differences of numbers near 1: no nearer than single precision is.
        precision = float(numpy.finfo(numpy.float32).eps)
        for entry, other in zip(result["history"], wanted["history"], strict=True):
            assert entry == pytest.approx(other, rel=1e-4, abs=precision)
        assert result["metrics"] == pytest.approx(wanted["metrics"], rel=1e-4, abs=precision)
        assert result["facts"].keys() == wanted["facts"].keys()
        for name in ("parameters", "steps", "tokens"):
            assert result["facts"][name] == wanted["facts"][name]
        assert set(content(store, key)) == set(content(finished, key))
        assert store.storage.names("tmp") == []
        assert store.storage.names("checkpoints") == []

    # --- weights, and what is finished already ---------------------------------------------------------------

    def test_its_weights_are_kept_only_where_wanted_and_can_be_made_later(
        self, workshop: Workshop, finished: Store, same: Callable[[Store], None]
    ) -> None:
        store, key = workshop.store(), workshop.stage.key
        to_end(Execution(workshop.job(keep_model=False), store))
        first = store.result(key)
        assert found(first) == found(finished.result(key))
        assert not store.has_model(key)
        assert not any(name.startswith("model/") for name in content(store, key))
        again = Execution(workshop.job(keep_model=True), store)
        assert (again.result is None) == workshop.stage.makes_model, "only missing weights are a reason to run it again"
        to_end(again)
        assert store.result(key) == first, "the first result stands"
        same(store)

    def test_a_finished_stage_is_not_run_again(self, workshop: Workshop, finished: Store) -> None:
        before = finished.result(workshop.stage.key)
        finished.save_checkpoint(workshop.stage.key, b"left by a process that was killed")
        for keep in (True, False):
            execution = Execution(workshop.job(keep_model=keep), finished)
            assert execution.result == before
            assert execution.advance(0) is None
            execution.interrupt()
        assert finished.result(workshop.stage.key) == before
        assert finished.storage.names("tmp") == []
        assert finished.storage.names("checkpoints") == []

    def test_two_workers_at_once_leave_one_result(self, workshop: Workshop, same: Callable[[Store], None]) -> None:
        store = workshop.store()
        one, two = Execution(workshop.job(), store), Execution(workshop.job(), Store(store.storage.location))
        to_end(one)
        to_end(two)
        assert one.result == two.result
        same(store)

    def test_data_that_changed_since_the_plan_are_refused(self, workshop: Workshop) -> None:
        job = workshop.job()
        if not job.fingerprints:
            pytest.skip("reads no data")
        planned = dataclasses.replace(job, fingerprints=dict.fromkeys(job.fingerprints, "before"))
        store = workshop.store()
        with pytest.raises(StageError, match="changed since the sweep was planned"):
            Execution(planned, store)
        assert store.storage.names("tmp") == []
