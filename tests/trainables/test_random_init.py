from __future__ import annotations

from pathlib import Path

import transformers

from tests.trainables.tiny import MemoryContext, finish
from trainables.random_init import run
from trainables.stages import RandomInit

_SMALL = {"hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 64, "positions": 64}


def test_the_folder_is_a_model_that_anybody_can_load(tmp_path: Path) -> None:
    stage = RandomInit("mini:general", vocabulary_size=500, **_SMALL)
    _, result = finish(run(stage, MemoryContext(tmp_path / "one", tmp_path)))
    finish(run(stage, MemoryContext(tmp_path / "other", tmp_path)))
    folder = tmp_path / "one" / "model"
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "other" / "model" / path.name).read_bytes(), path.name
    model = transformers.AutoModelForMaskedLM.from_pretrained(str(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    assert (model.config.vocab_size, len(tokenizer), result.facts["vocabulary"]) == (500, 500, 500)
    assert tokenizer.convert_ids_to_tokens(tokenizer("a").input_ids) == ["[CLS]", "a", "[SEP]"]
    assert tokenizer.model_max_length == 64


def test_the_seed_is_that_of_the_weights(tmp_path: Path) -> None:
    for seed in (0, 1):
        stage = RandomInit("mini:general", vocabulary_size=500, seed=seed, **_SMALL)
        finish(run(stage, MemoryContext(tmp_path / str(seed), tmp_path)))
    first, second = tmp_path / "0" / "model", tmp_path / "1" / "model"
    assert (first / "vocab.txt").read_bytes() == (second / "vocab.txt").read_bytes()
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()
