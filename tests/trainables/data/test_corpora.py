from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from trainables.data import corpora, jsonl, sources, tasks
from trainables.data.examples import TextExample
from trainables.errors import UserError


def test_miniature_corpora_have_texts_and_fingerprints() -> None:
    assert len(list(corpora.read("mini:general"))) > 100
    assert corpora.fingerprint("mini:general") != corpora.fingerprint("mini:domain")


def test_a_tasks_corpus_is_its_training_texts() -> None:
    texts = list(corpora.read("task:pubmedqa", "mini"))
    examples = sources.load("mini", "pubmedqa")["train"]
    first = examples[0]
    assert isinstance(first, TextExample)
    assert len(texts) == len(examples)
    assert texts[0] == f"{first.text} {first.pair}"
    words = next(iter(corpora.read("task:bc2gm", "mini")))
    assert words == " ".join(sources.load("mini", "bc2gm")["train"][0].tokens)  # type: ignore[union-attr]
    assert corpora.fingerprint("task:bc2gm", "mini") != corpora.fingerprint("task:pubmedqa", "mini")
    asked = sources.load("mini", "nbme")["train"][0]
    expected = f"{asked.question} {' '.join(asked.tokens)}"  # type: ignore[union-attr]
    assert next(iter(corpora.read("task:nbme", "mini"))) == expected


def test_a_tasks_corpus_follows_its_data(tmp_path: Path) -> None:
    task = tasks.get("gad")
    for folder, text in (("one", "a"), ("same", "a"), ("other", "b")):
        for split in ("train", "dev", "test"):
            file = tmp_path / folder / task.folder / f"{split}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            jsonl.write(file, task, [TextExample("0", text, 1)])
    found = [corpora.fingerprint("task:gad", str(tmp_path / name)) for name in ("one", "same", "other")]
    assert found[0] == found[1] != found[2]


def test_files_are_read_line_by_line_wherever_they_lie(tmp_path: Path) -> None:
    plain, packed = tmp_path / "one" / "a.txt", tmp_path / "two" / "sub" / "b.txt.gz"
    for path in (plain, packed):
        path.parent.mkdir(parents=True)
    plain.write_text("first\n\n  second µ \n", encoding="utf-8")
    with gzip.open(packed, "wt", encoding="utf-8") as file:
        file.write("third\n")
    assert list(corpora.read(str(plain))) == ["first", "second µ"]
    assert list(corpora.read(str(tmp_path))) == ["first", "second µ", "third"]
    moved = tmp_path / "moved.txt"
    moved.write_bytes(plain.read_bytes())
    assert corpora.fingerprint(str(moved)) == corpora.fingerprint(str(plain))
    moved.write_text("changed\n")
    assert corpora.fingerprint(str(moved)) != corpora.fingerprint(str(plain))


@pytest.mark.parametrize(
    ("corpus", "data", "message"),
    [
        ("mini:generl", None, "did you mean 'general'"),
        ("task:gda", "mini", "did you mean 'gad'"),
        ("task:gad", None, "needs the source"),
        ("nowhere.txt", None, r"no such file or folder \(looked for at /.*/nowhere.txt\); .* or one of mini:general"),
    ],
)
def test_unknown_corpora_are_refused(corpus: str, data: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        corpora.fingerprint(corpus, data)
    with pytest.raises(UserError, match=message):
        list(corpora.read(corpus, data))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("text")
    with pytest.raises(UserError, match=r"notes.md' is no .txt, .gz, .tar, .tar.gz or .tgz file"):
        corpora.fingerprint(str(tmp_path / "notes.md"))
    (tmp_path / "notes.md").unlink()
    with pytest.raises(UserError, match="holds no"):
        corpora.fingerprint(str(tmp_path))
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "torn.gz").write_bytes(b"no gzip")
    for name in ("latin.txt", "torn.gz"):
        with pytest.raises(UserError, match=name):
            list(corpora.read(str(tmp_path / name)))
