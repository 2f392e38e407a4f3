"""The preparation command: what it prints, writes, refuses and returns."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import prepare_data
from tests.data.prepare import small_corpora
from trainables.data import jsonl, sources, tasks


def run(*arguments: object) -> int:
    return prepare_data.main([str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_corpora.everything(tmp_path / "source")


def test_every_corpus_becomes_a_task_that_reads_back(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "deep" / "out"
    assert run(source, out) == 0
    for task in tasks.TASKS.values():
        splits = jsonl.read(out, task)
        assert all(splits[split] for split in ("train", "dev", "test"))
    assert sorted(path.name for path in out.iterdir()) == ["seqcls", "tokcls"]
    printed = capsys.readouterr().out
    assert "bc5chem       train 2, dev 2, test 2 examples, written" in printed
    assert "1 mentions" in printed
    assert "5203" in printed


def test_running_twice_changes_nothing(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(source, tmp_path / "out") == 0
    before = contents(tmp_path / "out")
    capsys.readouterr()
    assert run(source, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == before
    assert "written" not in capsys.readouterr().out


def test_missing_corpora_are_reported_and_the_rest_prepared(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    small_corpora.gad(tmp_path / "source" / "gad")
    small_corpora.pico(tmp_path / "source" / "ebm_pico", ("dev", "test"))
    assert run(tmp_path / "source", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "bioasq was not prepared: no folder 'bioasq'" in printed
    assert "register with the organisers" in printed
    assert "ebm_pico was not prepared: train.tsv is missing" in printed
    assert "bepnye/EBM-NLP" in printed
    assert [path.name for path in (tmp_path / "out" / "seqcls").iterdir()] == ["GAD_hf"]


def test_missing_corpus_that_was_asked_for_is_a_failure(tmp_path: Path) -> None:
    small_corpora.gad(tmp_path / "source" / "gad")
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "bioasq,gad") == 2
    assert (tmp_path / "out" / "seqcls" / "GAD_hf" / "test.json").exists()
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "gad") == 0


def test_folders_may_have_the_names_of_the_distributions(tmp_path: Path) -> None:
    small_corpora.ner(tmp_path / "source" / "NCBI-disease-IOB")
    small_corpora.hoc(tmp_path / "source" / "HoC")
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "ncbi_disease, hoc") == 0


def test_malformed_corpus_leaves_nothing_of_it_and_all_of_the_rest(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    small_corpora.put(source / "gad" / "dev.tsv", "index\tsentence\tlabel\n0\ta\tmaybe\n")
    assert run(source, tmp_path / "out") == 2
    assert "gad/dev.tsv, line 2: label 'maybe' is not a label of gad" in capsys.readouterr().err
    assert not (tmp_path / "out" / "seqcls" / "GAD_hf").exists()
    assert (tmp_path / "out" / "seqcls" / "HoC_hf" / "test.json").exists()
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_folds_of_the_distribution_are_prepared_with_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    small_corpora.gad_folds(tmp_path / "source" / "gad", 4)
    assert run(tmp_path / "source", tmp_path / "out") == 0
    assert "gad           train 8, dev 4, test 4 examples, 4 folds, written" in capsys.readouterr().out
    splits = sources.load(str(tmp_path / "out"), "gad@4/4")
    assert {example.id for example in splits["dev"]} == {"test/1.0", "test/1.1", "test/1.2", "test/1.3"}


@pytest.mark.parametrize(("classes", "neutral"), [("kmeans", 10), ("sign", 5)])
def test_scores_become_classes_as_asked(
    classes: str, neutral: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    small_corpora.fts(tmp_path / "source" / "fts")
    assert run(tmp_path / "source", tmp_path / "out", "--fts-classes", classes) == 0
    assert f"classes by {classes}: negative below" in capsys.readouterr().out
    splits = jsonl.read(tmp_path / "out", tasks.get("fts"))
    assert sum(example.label == 1 for examples in splits.values() for example in examples) == neutral


def test_partial_pico_is_made_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = small_corpora.pico(tmp_path / "source" / "ebm_pico", ("dev", "test"))
    small_corpora.put(folder / "partial_train_iob" / "a.iob", "-DOCSTART- -X- O O\n\nThe DT B-POPU\n")
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "ebm_pico") == 2
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "ebm_pico", "--partial-ebm-pico") == 0
    assert "ebm_pico train: partial: 1 of the benchmark's 3842 training abstracts" in capsys.readouterr().out


def test_a_task_that_shares_anothers_files_is_prepared_with_it(tmp_path: Path) -> None:
    small_corpora.pubmedqa(tmp_path / "source" / "pubmedqa")
    assert run(tmp_path / "source", tmp_path / "out", "--tasks", "pubmedqa_yesno") == 0
    for name, labels in (("pubmedqa", {0, 1, 2}), ("pubmedqa_yesno", {0, 1})):
        splits = sources.load(str(tmp_path / "out"), name)
        assert {example.label for example in splits["train"]} == labels


@pytest.mark.parametrize(("classes", "articles"), [("balanced", 100), ("all", 101)])
def test_the_articles_of_mind_are_those_asked_for(
    classes: str, articles: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    small_corpora.mind(tmp_path / "source" / "mind")
    assert run(tmp_path / "source", tmp_path / "out", "--mind-classes", classes) == 0
    assert f"mind train: {articles} of 101 articles of the five categories ({classes})" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nowhere", "out"), "source folder 'nowhere' does not exist"),
        (("source", "out", "--tasks", "gadd"), "unknown task 'gadd'; did you mean 'gad'?"),
        (("source", "out", "--tasks", ","), "--tasks ',' names no task"),
        (("source", "file"), "output folder 'file' cannot be written to"),
        (("empty", "out"), "empty holds no corpus; folders named bc5chem"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: tuple[str, ...],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    small_corpora.gad(tmp_path / "source" / "gad")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert run(*arguments) == 2
    assert expected in capsys.readouterr().err


def test_signal_ends_the_command_cleanly(tmp_path: Path) -> None:
    """The corpus comes through a pipe that is held open: the command is in the middle of a task."""
    small_corpora.gad(tmp_path / "source" / "gad")
    (tmp_path / "source" / "gad" / "dev.tsv").unlink()
    os.mkfifo(tmp_path / "source" / "gad" / "dev.tsv")
    small_corpora.hoc(tmp_path / "source" / "hoc")
    command = [sys.executable, "-m", "orchestrator.prepare_data", str(tmp_path / "source"), str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    with (tmp_path / "source" / "gad" / "dev.tsv").open("w") as pipe:  # opens when the command reads
        pipe.write("index\tsentence\tlabel\n")
        pipe.flush()
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: nothing prepared" in errors
    assert list((tmp_path / "out").iterdir()) == []


def test_published_counts_are_those_of_the_benchmark() -> None:
    published = prepare_data.published_counts()
    without_a_published_split = {"fpb", "fts", "boolq", "pubmedqa_yesno", "euadr", "tacred", "nbme"}
    assert {task for task, _ in published} == set(tasks.TASKS) - without_a_published_split
    assert published["i2b2", "test"] == 43_000
    assert published["ddi", "train"] == 25_296  # the benchmark's, not the DoKTra paper's 18,779
    assert published["mind", "train"] == 24_428
    assert published["chemprot", "test"] == 15_745  # misprinted in the paper
    assert published["bc5disease", "dev"] == 4_244


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from orchestrator import prepare_data\n"
        "try: prepare_data.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'numpy', 'rich', 'ray'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "examples:" in printed
    assert printed.rstrip().endswith("[]")
