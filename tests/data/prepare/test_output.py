"""Writing a prepared task: complete or not at all; and counting it."""

from pathlib import Path

import pytest

from trainables.data import jsonl, sources, tasks
from trainables.data.examples import SPLITS, Example, TextExample, TokenExample
from trainables.data.prepare import counts, output
from trainables.errors import UserError

GAD = tasks.get("gad")


def splits(label: int = 1) -> dict[str, list[Example]]:
    return {split: [TextExample("a", f"text of {split}", label)] for split in ("train", "dev", "test")}


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_written_task_reads_back(tmp_path: Path) -> None:
    assert output.write(tmp_path, GAD, splits())
    assert jsonl.read(tmp_path, GAD) == splits()
    assert not hidden(tmp_path)


def test_same_content_is_left_alone_and_other_content_replaced(tmp_path: Path) -> None:
    output.write(tmp_path, GAD, splits())
    before = (tmp_path / GAD.folder).stat().st_ino
    assert not output.write(tmp_path, GAD, splits())
    assert (tmp_path / GAD.folder).stat().st_ino == before
    assert output.write(tmp_path, GAD, splits(label=0))
    assert jsonl.read(tmp_path, GAD) == splits(label=0)
    assert not hidden(tmp_path)


def test_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    output.write(tmp_path, GAD, splits())
    (tmp_path / GAD.folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"GAD_hf holds notes\.txt, which would be lost"):
        output.write(tmp_path, GAD, splits(label=0))


def test_folds_are_written_and_compared_with_the_splits(tmp_path: Path) -> None:
    partition = [["test/a"], ["dev/a"], ["train/a"]]
    assert output.write(tmp_path, GAD, splits(), {3: partition})
    assert [[e.text for e in sources.load(str(tmp_path), "gad@3/3")[split]] for split in SPLITS] == [
        ["text of dev"],
        ["text of test"],
        ["text of train"],
    ]
    assert not output.write(tmp_path, GAD, splits(), {3: partition})
    assert output.write(tmp_path, GAD, splits(), {3: partition[::-1]})
    with pytest.raises(UserError, match=r"GAD_hf holds folds/3\.json, which would be lost"):
        output.write(tmp_path, GAD, splits())


def test_folds_that_are_no_partition_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 examples are in no fold, 'train/a' first"):
        output.write(tmp_path, GAD, splits(), {2: [["test/a"], ["dev/a"]]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", [False, True])
def test_interruption_leaves_what_was_there(tmp_path: Path, existing: bool) -> None:
    if existing:
        output.write(tmp_path, GAD, splits())

    class Interrupting(list[Example]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield TextExample("a", "half", 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output.write(tmp_path, GAD, {**splits(label=0), "test": Interrupting()})
    assert not hidden(tmp_path)
    assert (tmp_path / GAD.folder).exists() == existing
    if existing:
        assert jsonl.read(tmp_path, GAD) == splits()


def test_repeated_ids_are_refused_before_anything_is_in_place(tmp_path: Path) -> None:
    twice = [TextExample("a", "one", 0), TextExample("a", "two", 0)]
    with pytest.raises(UserError, match="id 'a' stands in line 1 already"):
        output.write(tmp_path, GAD, {**splits(), "dev": twice})
    assert list(tmp_path.iterdir()) == []


def test_output_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output folder '.*/file' cannot be written to"):
        output.create(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written to: Not a directory"):
        output.create(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("task", "example", "expected", "unit"),
    [
        ("ncbi_disease", TokenExample("a", ("x",) * 4, (1, 2, 1, 0)), 2, "mentions"),
        ("ebm_pico", TokenExample("a", ("x",) * 4, (1, 1, 3, 0)), 3, "labelled words"),
        ("nbme", TokenExample("a", ("x",) * 4, (1, 1, 0, 0), "which"), 2, "labelled words"),
        ("hoc", TextExample("a", "x", (1, 1, *(0,) * 8)), 1, "abstracts"),
        ("gad", TextExample("a", "x", 1), 1, "examples"),
    ],
)
def test_counts_are_in_the_unit_of_the_papers(task: str, example: Example, expected: int, unit: str) -> None:
    known = tasks.get(task)
    assert (counts.count(known, [example]), counts.published_unit(known)) == (expected, unit)


def test_labels_are_counted_on_words_and_in_documents() -> None:
    words = TokenExample("a", ("x",) * 3, (0, 1, 2))
    assert counts.by_label(tasks.get("jnlpba"), [words, words]) == {"O": 2, "B": 2, "I": 2}
    document = TextExample("a", "x", (1, 0, 1, *(0,) * 7))
    assert list(counts.by_label(tasks.get("hoc"), [document]).values())[:4] == [1, 0, 1, 0]
