from __future__ import annotations

from pathlib import Path

import pytest

from trainables.errors import UserError
from trainables.training import tokenizers


def test_loaded_once_per_content(bert: Path, roberta: Path, tmp_path: Path) -> None:
    tokenizers.copy(bert, tmp_path)
    (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
    assert tokenizers.load(tmp_path) is tokenizers.load(bert)
    assert tokenizers.load(roberta).content != tokenizers.load(bert).content
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n")
    assert tokenizers.load(tmp_path).content != tokenizers.load(bert).content


@pytest.mark.parametrize(("model", "around"), [("bert", ("[CLS]", "[SEP]")), ("roberta", ("<s>", "</s>"))])
def test_special_pieces_are_the_tokenizers(model: str, around: tuple[str, str], request: pytest.FixtureRequest) -> None:
    tokenizer = tokenizers.load(request.getfixturevalue(model))
    assert tokenizer.wrapped.convert_ids_to_tokens([*tokenizer.prefix, *tokenizer.suffix]) == list(around)
    assert tokenizer.pair_overhead == {"bert": 3, "roberta": 4}[model]
    assert tokenizer.types == (model == "bert")


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        tokenizers.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="could not be loaded"):
        tokenizers.load(tmp_path)
