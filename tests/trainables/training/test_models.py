from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

from tests.trainables import tiny
from trainables.data import tasks
from trainables.errors import UserError
from trainables.training import models, tokenizers


@pytest.mark.parametrize("model", ["bert", "roberta"])
@pytest.mark.parametrize("task", ["ncbi_disease", "ddi", "hoc"])
def test_the_encoder_is_carried_over_and_the_head_is_new(
    model: str, task: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    start: Path = request.getfixturevalue(model)
    known = tasks.get(task)
    first = models.classifier(start, known, seed=1)
    models.save(first, start, tmp_path / "first")
    second = models.classifier(tmp_path / "first", known, seed=2)
    outside = set()
    for (name, one), (_, other) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        if name.startswith(f"{first.base_model_prefix}."):
            assert torch.equal(one, other), name
        elif name.endswith("weight"):
            outside.add(name)
            assert not torch.equal(one, other), name
    assert outside


@pytest.mark.parametrize(("intermediate", "target"), [("ncbi_disease", "ddi"), ("hoc", "jnlpba"), ("gad", "chemprot")])
def test_an_intermediate_task_of_another_kind_is_started_from(
    intermediate: str, target: str, bert: Path, tmp_path: Path
) -> None:
    first = models.classifier(bert, tasks.get(intermediate), seed=1)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.5)
    models.save(first, bert, tmp_path)
    second = models.classifier(tmp_path, tasks.get(target), seed=1)
    carried = dict(first.base_model.named_parameters())
    for name, parameter in second.base_model.named_parameters():
        if name in carried:
            assert torch.equal(parameter, carried[name]), name
        else:
            assert "pooler" in name
    # New weights have a spread of 0.02 around zero; carried ones would have a mean of a half.
    assert float(second.classifier.weight.detach().abs().max()) < 0.2
    assert tuple(second.config.id2label.values()) == tasks.get(target).labels
    assert second.config.problem_type != first.config.problem_type or intermediate == "gad"


def test_the_head_depends_on_the_seed_alone(bert: Path, tmp_path: Path) -> None:
    task = tasks.get("chemprot")
    torch.manual_seed(11)
    one = models.classifier(bert, task, seed=5)
    torch.manual_seed(12)
    other = models.classifier(bert, task, seed=5)
    for (name, first), (_, second) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(first, second), name
    assert not torch.equal(one.classifier.weight, models.classifier(bert, task, seed=6).classifier.weight)


def test_the_encoder_is_the_folders(bert: Path) -> None:
    original = transformers.AutoModel.from_pretrained(str(bert), add_pooling_layer=False)
    loaded = models.classifier(bert, tasks.get("jnlpba"), seed=0)
    for name, parameter in original.named_parameters():
        assert torch.equal(parameter, loaded.base_model.get_parameter(name)), name


@pytest.mark.parametrize(("task", "kind"), [("jnlpba", "token"), ("ddi", "sequence"), ("hoc", "sequence")])
def test_anybody_can_load_what_was_saved(task: str, kind: str, bert: Path, tmp_path: Path) -> None:
    known = tasks.get(task)
    model = models.classifier(bert, known, seed=0).eval()
    models.save(model, bert, tmp_path)
    auto = {
        "token": transformers.AutoModelForTokenClassification,
        "sequence": transformers.AutoModelForSequenceClassification,
    }[kind]
    loaded = auto.from_pretrained(str(tmp_path)).eval()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, loaded.get_parameter(name)), name
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    inputs = tokenizer("it does so", return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(model(**inputs).logits, loaded(**inputs).logits, atol=1e-6)
    assert tuple(loaded.config.id2label.values()) == known.labels
    expected = {"jnlpba": None, "ddi": "single_label_classification", "hoc": "multi_label_classification"}[task]
    assert loaded.config.problem_type == expected
    assert not list(tmp_path.glob("*.bin"))


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_the_masked_head_runs_on_chosen_positions_only(model: str, request: pytest.FixtureRequest) -> None:
    loaded = models.masked_lm(request.getfixturevalue(model), seed=0).eval()
    inputs = {"input_ids": torch.randint(5, 90, (3, 9)), "attention_mask": torch.ones(3, 9, dtype=torch.long)}
    chosen = torch.rand(3, 9) < 0.4
    with torch.no_grad():
        expected = loaded(**inputs).logits[chosen]
        assert torch.allclose(models.masked_logits(loaded, inputs, chosen), expected, atol=1e-6)


def test_a_masked_head_is_carried_over_or_made_from_the_seed(bert: Path, tmp_path: Path) -> None:
    original = transformers.BertForMaskedLM.from_pretrained(str(bert))
    carried = models.masked_lm(bert, seed=3)
    for name, parameter in original.named_parameters():
        assert torch.equal(parameter, carried.get_parameter(name)), name
    models.save(original.bert, bert, tmp_path)
    torch.manual_seed(1)
    one = models.masked_lm(tmp_path, seed=3)
    torch.manual_seed(2)
    other = models.masked_lm(tmp_path, seed=3)
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name
    embedding = one.get_input_embeddings().weight
    assert torch.equal(embedding, original.get_input_embeddings().weight)
    assert one.get_output_embeddings().weight is embedding


@pytest.mark.parametrize(("model", "longest"), [("bert", 64), ("roberta", 64)])
def test_the_longest_input_is_what_the_model_can_run(model: str, longest: int, request: pytest.FixtureRequest) -> None:
    loaded = models.classifier(request.getfixturevalue(model), tasks.get("gad"), seed=0).eval()
    assert models.longest_input(loaded) == longest
    loaded(input_ids=torch.full((1, longest), 6), attention_mask=torch.ones(1, longest))


def test_nothing_is_printed(bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    models.save(models.classifier(bert, tasks.get("gad"), seed=0), bert, tmp_path)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_broken_folder_is_named(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match=str(tmp_path)):
        models.classifier(tmp_path, tasks.get("gad"), seed=0)


def test_a_tokenizer_of_another_model_is_refused(bert: Path, roberta: Path, tmp_path: Path) -> None:
    tiny.bert(tmp_path)
    small = transformers.BertForMaskedLM.from_pretrained(str(tmp_path))
    small.resize_token_embeddings(50)
    with pytest.raises(UserError, match="for 50"):
        models.check_tokenizer(small, tokenizers.load(bert), bert)


def test_predictions_do_not_depend_on_how_weights_lie_in_their_file(bert: Path, tmp_path: Path) -> None:
    task = tasks.get("ddi")
    for name in ("plain", "longer header"):
        models.save(models.classifier(bert, task, seed=0), bert, tmp_path / name)
    file = tmp_path / "longer header" / "model.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, metadata={"format": "pt", "note": "x" * 1_001})
    inputs = {"input_ids": torch.randint(5, 90, (7, 23), generator=torch.Generator().manual_seed(0))}
    found = []
    for name in ("plain", "longer header"):
        model = models.classifier(tmp_path / name, task, seed=0).eval()
        with torch.no_grad():
            found.append(model(**inputs).logits)
    assert torch.equal(*found)


@pytest.fixture(scope="module")
def finished_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of DDI's five labels, of an architecture."""
    start = getattr(tiny, request.param)(tmp_path_factory.mktemp("start"))
    folder = tmp_path_factory.mktemp("finished")
    model = models.classifier(start, tasks.get("ddi"), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1)
    models.save(model, start, folder)
    return folder


_ARCHITECTURES = ["bert", "roberta", "albert", "distilbert"]


@pytest.mark.parametrize("finished_model", _ARCHITECTURES, indirect=True)
def test_a_finished_classifier_keeps_its_head(finished_model: Path) -> None:
    task = tasks.get("ddi")
    saved = safetensors.torch.load_file(finished_model / "model.safetensors")
    loaded = models.finetuned(finished_model, task)
    assert loaded.training
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, saved[name]), name
    renewed = models.classifier(finished_model, task, seed=3)
    assert any(not torch.equal(parameter, saved[name]) for name, parameter in renewed.named_parameters())


@pytest.mark.parametrize("finished_model", _ARCHITECTURES, indirect=True)
def test_cls_vectors_are_the_last_hidden_layers_whatever_the_architecture(finished_model: Path) -> None:
    model = models.finetuned(finished_model, tasks.get("ddi")).eval()
    inputs = {"input_ids": torch.randint(5, 90, (3, 9)), "attention_mask": torch.ones(3, 9, dtype=torch.long)}
    with torch.no_grad():
        expected = model(**inputs, output_hidden_states=True)
        logits, vectors = models.logits_and_cls(model, inputs)
        assert torch.equal(vectors, expected.hidden_states[-1][:, 0])
        assert torch.equal(logits, expected.logits)
        assert torch.equal(models.cls_vectors(model, inputs), vectors)
    assert vectors.shape == (3, model.config.hidden_size)
    assert not model.base_model._forward_hooks


@pytest.mark.parametrize("finished_model", _ARCHITECTURES, indirect=True)
def test_training_on_cls_vectors_gives_head_and_pooler_no_gradient(finished_model: Path) -> None:
    model = models.finetuned(finished_model, tasks.get("ddi"))
    inputs = {"input_ids": torch.randint(5, 90, (3, 9)), "attention_mask": torch.ones(3, 9, dtype=torch.long)}
    models.cls_vectors(model, inputs).square().sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {name for name, _ in model.named_parameters() if "classifier" in name or "pooler" in name}


def test_a_model_without_a_head_is_no_classifier(bert: Path) -> None:
    with pytest.raises(UserError, match=r"is no classifier of texts: it lacks .*classifier\.weight.*fine-tuned on ddi"):
        models.finetuned(bert, tasks.get("ddi"))


def test_a_classifier_of_words_is_none_of_texts(bert: Path, tmp_path: Path) -> None:
    models.save(models.classifier(bert, tasks.get("jnlpba"), seed=0), bert, tmp_path)
    with pytest.raises(UserError, match="is no classifier of texts"):
        models.finetuned(tmp_path, tasks.get("ddi"))


@pytest.mark.parametrize("finished_model", ["bert"], indirect=True)
def test_a_classifier_of_other_labels_is_refused(finished_model: Path) -> None:
    with pytest.raises(UserError, match=r"tells 5 labels apart, but gad has 2.*fine-tuned on gad"):
        models.finetuned(finished_model, tasks.get("gad"))
