"""Models as they are named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import models
from trainables.errors import UserError
from trainables.stages import MaskedLanguageModel, Pretrained, RandomInit


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any look at the network fails the test: names are resolved without it."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def test_published_models() -> None:
    assert models.resolve("bert_base") == ("bert_base", Pretrained("google-bert/bert-base-uncased"))
    name, stage = models.resolve("pubmedbert")
    assert (name, stage) == ("pubmedbert", Pretrained("microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"))


def test_miniature_models_are_expressions_with_keys_of_their_own() -> None:
    keys = set()
    for corpus in ("general", "domain"):
        name, stage = models.resolve(f"mini_{corpus}")
        assert name == f"mini_{corpus}"
        assert isinstance(stage, MaskedLanguageModel)
        assert isinstance(stage.init, RandomInit)
        assert stage.corpus == stage.init.vocabulary == f"mini:{corpus}"
        keys |= {stage.key, stage.init.key}
    assert len(keys) == 4


def test_a_hub_id_with_and_without_revision() -> None:
    assert models.resolve("owner/some-model") == ("some-model", Pretrained("owner/some-model"))
    assert models.resolve("owner/some-model@main") == ("some-model", Pretrained("owner/some-model", "main"))


def test_a_folder_is_named_after_itself(tmp_path: Path) -> None:
    folder = tmp_path / "my_model"
    folder.mkdir()
    assert models.resolve(str(folder)) == ("my_model", Pretrained(str(folder)))


def test_a_name_of_ones_own(tmp_path: Path) -> None:
    assert models.resolve("mine=owner/some-model") == ("mine", Pretrained("owner/some-model"))
    assert models.resolve(f"mine={tmp_path}") == ("mine", Pretrained(str(tmp_path)))
    assert models.resolve("mine=bert_base") == ("mine", models.resolve("bert_base")[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bert_bse", "unknown model 'bert_bse'.*did you mean 'bert_base'"),
        ("mine=bert_bse", "did you mean 'bert_base'"),
        ("nothing-like-it", "choices: bert_base, mini_domain, mini_general, pubmedbert"),
        ("", "unknown model ''"),
        ("=owner/name", "model name ''"),
        ("a b=owner/name", "model name 'a b'"),
        ("bert_base=owner/name", "taken by a built-in model"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        models.resolve(text)


def test_a_folder_named_like_a_built_in_model_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "bert_base"
    folder.mkdir()
    with pytest.raises(UserError, match="built-in model's name"):
        models.resolve(str(folder))
