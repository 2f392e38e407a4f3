"""Data sets of the hub in their own columns. The hub is not reached: a local folder stands for what was downloaded."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from tests.data.test_folds import fresh
from trainables.data import hub, jsonl, sources, tasks
from trainables.data.examples import SPLITS, TextExample
from trainables.errors import UserError

#: As the hub's own cards declare class labels; the numbers in the files mean nothing without them.
CARD = """---
configs:
- config_name: {config}
  data_files:
  - split: train
    path: {config}/train.jsonl
  - split: validation
    path: {config}/validation.jsonl
  - split: test
    path: {config}/test.jsonl
dataset_info:
- config_name: {config}
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
{names}
---
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that every download ends in; ``datasets`` keeps its own cache beside it."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for cached in (hub.download, hub.read):
        cached.cache_clear()
    fresh()
    yield folder
    for cached in (hub.download, hub.read):
        cached.cache_clear()
    fresh()


def put(file: Path, *rows: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def put_classes(folder: Path, config: str, names: tuple[str, ...]) -> None:
    for split in ("train", "validation", "test"):
        put(folder / config / f"{split}.jsonl", *({"text": f" {split} {n}", "label": n} for n in range(len(names))))
    listed = "\n".join(f"          '{number}': {name}" for number, name in enumerate(names))
    (folder / "README.md").write_text(CARD.format(config=config, names=listed))


def read(source: str, task: str) -> dict[str, list[tuple[str, str, str]]]:
    labels = tasks.get(task).labels
    return {
        split: [(e.id, e.text, labels[e.label]) for e in examples]  # type: ignore[union-attr,index]
        for split, examples in sources.load(source, task).items()
    }


@pytest.mark.parametrize(
    ("name", "config", "task", "names"),
    [
        ("dair-ai/emotion", "split", "emotion", ("sadness", "joy", "love", "anger", "fear", "surprise")),
        ("cardiffnlp/tweet_eval/emotion", "emotion", "tweet_emotion", ("anger", "joy", "optimism", "sadness")),
        ("cardiffnlp/tweet_eval/sentiment", "sentiment", "tweet_sentiment", ("negative", "neutral", "positive")),
    ],
)
def test_class_labels_mean_what_the_data_set_says(
    repository: Path, name: str, config: str, task: str, names: tuple[str, ...]
) -> None:
    put_classes(repository, config, names)
    found = read(f"hub:{name}", task)
    assert found["dev"] == [(str(n), f"validation {n}", label) for n, label in enumerate(names)]
    assert list(found) == list(SPLITS)
    assert {example.text for example in sources.load(f"hub:{name}", task)["test"]} == {  # type: ignore[union-attr]
        f"test {n}" for n in range(len(names))
    }


def test_boolqs_validation_split_is_test_and_a_tenth_of_train_is_dev(repository: Path) -> None:
    for split, count in (("train", 60), ("validation", 9)):
        rows = [{"question": f"is {split} {n}", "answer": n % 3 > 0, "passage": f"It is {n}."} for n in range(count)]
        put(repository / f"{split}.jsonl", *rows)
    splits = sources.load("hub:google/boolq", "boolq")
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 54, "dev": 6, "test": 9}
    assert splits["test"][0] == TextExample("0", "is validation 0", 1, "It is 0.")
    assert splits["test"][1] == TextExample("1", "is validation 1", 0, "It is 1.")
    random = sources.load("random:0:hub:google/boolq", "boolq")
    assert [len(examples) for examples in random.values()] == [54, 6, 9]


def test_minds_five_topics_are_balanced_and_rows_without_values_left_out(repository: Path) -> None:
    categories = ["foodanddrink", "lifestyle", "video", "travel", "finance", "sports", None]
    for split in ("train", "validation", "test"):
        rows = [{"category": categories[n % 7], "title": f"{split} {n}"} for n in range(28)]
        put(repository / f"{split}.jsonl", *rows, {"category": "travel", "title": None}, rows[3] | {"title": "more"})
    for examples in read("hub:linxinyuan/mind", "mind").values():
        assert Counter(label for _, _, label in examples) == dict.fromkeys(tasks.get("mind").labels, 4)


def test_a_title_of_mind_is_in_one_split_and_counts_once(repository: Path) -> None:
    """The classes are cut after that: of lifestyle dev has one title of its own."""
    categories = ("foodanddrink", "lifestyle", "video", "travel", "finance")
    rows = [{"category": name, "title": f"{name} {n}"} for n in range(6) for name in categories]
    put(repository / "train.jsonl", *rows[:20], rows[0] | {"title": " foodanddrink  0 "})
    again = [row for row in rows[:20] if row["category"] == "lifestyle"]
    put(repository / "validation.jsonl", *rows[20:25], *again, *rows[25:30])
    put(repository / "test.jsonl", *({"category": name, "title": f"new {name}"} for name in categories), *rows[25:30])
    found = {split: [text for _, text, _ in rows] for split, rows in read("hub:linxinyuan/mind", "mind").items()}
    assert {split: len(texts) for split, texts in found.items()} == {"train": 20, "dev": 10, "test": 5}
    assert len({text for texts in found.values() for text in texts}) == 35
    hub.read.cache_clear()
    put(repository / "test.jsonl", *rows[:5])
    shutil.rmtree(repository.parent / "cache")
    with pytest.raises(UserError, match="the test split has no text that is not in the splits before it"):
        hub.read("linxinyuan/mind", tasks.get("mind"))


def test_the_layout_goes_first_and_keeps_its_fingerprint(repository: Path, tmp_path: Path) -> None:
    task = tasks.get("boolq")
    for folder in (repository, tmp_path / "local"):
        for split in SPLITS:
            file = folder / task.folder / f"{split}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            jsonl.write(file, task, [TextExample("a", "is it", 0, "It is.")])
    assert sources.load("hub:some/one", "boolq")["dev"] == [TextExample("a", "is it", 0, "It is.")]
    assert sources.fingerprint("hub:some/one", "boolq") == sources.fingerprint(str(tmp_path / "local"), "boolq")


def test_the_fingerprint_is_that_of_the_examples(repository: Path) -> None:
    put_classes(repository, "split", ("sadness", "joy", "love", "anger", "fear", "surprise"))
    first = sources.fingerprint("hub:dair-ai/emotion", "emotion")
    fresh()
    assert sources.fingerprint("hub:dair-ai/emotion@abc", "emotion") == first
    file = repository / "split" / "test.jsonl"
    file.write_text(file.read_text().replace("test 3", "test three"))
    # The library's own cache goes by the folder, which on the hub is another one for every commit.
    shutil.rmtree(repository.parent / "cache")
    for cached in (hub.read, sources.fingerprint):
        cached.cache_clear()
    assert sources.fingerprint("hub:dair-ai/emotion", "emotion") != first


def test_what_cannot_be_read_is_refused(repository: Path) -> None:
    def refusal(task: str) -> str:
        hub.read.cache_clear()
        with pytest.raises(UserError) as error:
            hub.read("some/one", tasks.get(task))
        return str(error.value)

    assert "holds no seqcls/GAD_hf, and its own columns are known for the tasks emotion" in refusal("gad")
    assert "hub:some/one: datasets cannot read it" in refusal("emotion")
    put(repository / "train.jsonl", {"text": "a", "label": 7})
    assert "hub:some/one: train: row 0: label '7' is not a label of emotion" in refusal("emotion")
    assert "train: no column 'question'; found text, label" in refusal("boolq")
    put(repository / "train.jsonl", {"text": " ", "label": "joy"})
    assert "train: row 0: 'text' is ' '; text expected" in refusal("emotion")
    put(repository / "train.jsonl", {"text": "a", "label": "joy"})
    assert "there is no dev split; found train" in refusal("emotion")


@pytest.mark.parametrize("name", ["emotion", "a/b/c/d", "a//b", "a/b@", "@x"])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="hub:owner/name expected, with a configuration hub:owner/name/config"):
        sources.load(f"hub:{name}", "emotion")


def test_names_are_taken_apart() -> None:
    assert hub.parse("a/b") == hub.Place("a/b")
    assert hub.parse("a/b/c@refs/pr/1") == hub.Place("a/b", "c", "refs/pr/1")
