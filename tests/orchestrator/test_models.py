"""Models as they are named on the command line."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from orchestrator import leaderboard, models
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


@pytest.mark.parametrize("name", ["biobert", "finbert", "albert_xlarge", "roberta_large", "roberta_base"])
def test_doktras_models_have_the_names_of_the_published_results(name: str) -> None:
    with (Path(leaderboard.__file__).parent / "published" / "results.csv").open() as file:
        published = {row["model"] for row in csv.DictReader(file) if row["paper"] == "doktra"}

    assert name in published
    resolved, stage = models.resolve(name)
    assert resolved == name
    assert isinstance(stage, Pretrained)
    assert re.fullmatch(r"[\w-]+/[\w.-]+", stage.name)


def test_a_published_model_that_no_hub_has_is_given_as_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown model 'roberta_pm_large'"):
        models.resolve("roberta_pm_large")
    assert models.resolve(f"roberta_pm_large={tmp_path}") == ("roberta_pm_large", Pretrained(str(tmp_path)))


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
        ("roberta_larg", "did you mean 'roberta_large'"),
        ("nothing-like-it", f"choices: {', '.join(sorted(models.MODELS))}"),
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
