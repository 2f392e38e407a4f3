from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from tests.trainables.tiny import MemoryContext, finish, pretrained, run_with_stops
from trainables.data import miniature
from trainables.errors import UserError
from trainables.masked_lm import run
from trainables.stages import MaskedLanguageModel


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "some.txt"
    path.write_text("\n".join(miniature.corpus("general")[:90]) + "\n", encoding="utf-8")
    return path


def _stage(start: Path, corpus: Path, **options: object) -> MaskedLanguageModel:
    settings = {"batch_size": 8, "epochs": 2, "max_length": 32, "learning_rate": 1e-3, **options}
    return MaskedLanguageModel(str(corpus), pretrained(start), **settings)  # type: ignore[arg-type]


def _weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_it_learns_and_writes_a_model_to_start_from(
    model: str, corpus: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    start: Path = request.getfixturevalue(model)
    _, result = finish(run(_stage(start, corpus, epochs=4), MemoryContext(tmp_path, start)))
    assert result.history[-1]["dev/loss"] < result.history[0]["dev/loss"]
    assert result.metrics["dev/loss"] == result.history[-1]["dev/loss"]
    assert result.facts["examples"]["dev"] >= 1
    transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path / "model"))
    transformers.AutoTokenizer.from_pretrained(str(tmp_path / "model"))


def test_stopped_at_any_yield_it_ends_with_the_same_bits(bert: Path, corpus: Path, tmp_path: Path) -> None:
    stage = _stage(bert, corpus)
    seen, whole = finish(run(stage, MemoryContext(tmp_path / "whole", bert)))
    for stop in range(1, len(seen) + 1, 2):
        result, _ = run_with_stops(run, stage, tmp_path / str(stop), bert, iter([stop, 1, 2]))
        assert _weights(tmp_path / str(stop)) == _weights(tmp_path / "whole"), stop
        assert result == whole


def test_the_seed_changes_masks_and_order(bert: Path, corpus: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        finish(run(_stage(bert, corpus, seed=seed), MemoryContext(tmp_path / str(seed), bert)))
    assert _weights(tmp_path / "0") != _weights(tmp_path / "1")


def test_too_little_text_is_refused(bert: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "short.txt"
    corpus.write_text("a b c\n")
    with pytest.raises(UserError, match="max_length=32"):
        finish(run(_stage(bert, corpus), MemoryContext(tmp_path / "run", bert)))


def test_micro_batches_change_the_key_only_where_they_are_asked_for(bert: Path, corpus: Path) -> None:
    plain, parts = _stage(bert, corpus), _stage(bert, corpus, micro_batch_size=4)
    assert "micro_batch_size" not in plain.canonical()["fields"]
    assert parts.key != plain.key
    assert (plain.data_parallel, parts.data_parallel) == (False, True)
    with pytest.raises(UserError, match="micro_batch_size=0 must be at least 1"):
        _stage(bert, corpus, micro_batch_size=0)


def test_micro_batches_mask_different_pieces_and_learn(bert: Path, corpus: Path, tmp_path: Path) -> None:
    _, result = finish(run(_stage(bert, corpus, epochs=4, micro_batch_size=3), MemoryContext(tmp_path, bert)))
    assert result.history[-1]["dev/loss"] < result.history[0]["dev/loss"]
    _, whole = finish(run(_stage(bert, corpus, epochs=4), MemoryContext(tmp_path / "whole", bert)))
    assert result.facts["tokens"] == whole.facts["tokens"]
    assert result.history[-1]["step"] == whole.history[-1]["step"]


def test_steps_stand_instead_of_epochs_and_leave_other_keys_alone(bert: Path, corpus: Path) -> None:
    by_epochs = _stage(bert, corpus, epochs=1)
    assert "steps" not in by_epochs.canonical()["fields"]
    assert _stage(bert, corpus, epochs=1, steps=None).key == by_epochs.key
    by_steps = _stage(bert, corpus, epochs=1, steps=7)
    assert (by_steps.epochs, by_steps.steps) == (None, 7)
    assert _stage(bert, corpus, epochs=None, steps=7).key == by_steps.key
    with pytest.raises(UserError, match="epochs=3 and steps=7; give one of both"):
        _stage(bert, corpus, epochs=3, steps=7)
    with pytest.raises(UserError, match="neither epochs nor steps"):
        _stage(bert, corpus, epochs=None)
