"""CoNLL corpora and EBM PICO in its three forms."""

from pathlib import Path

import pytest

from tests.data.prepare import small_corpora
from trainables.data import tasks
from trainables.data.examples import TokenExample
from trainables.data.prepare import conll, ebm_nlp, ebm_pico
from trainables.data.prepare.corpus import MissingFilesError
from trainables.errors import UserError

NER, PICO = tasks.get("ncbi_disease"), tasks.get("ebm_pico")


def tags(example: object, task: tasks.Task) -> list[str]:
    assert isinstance(example, TokenExample)
    return [task.labels[tag] for tag in example.tags]


@pytest.mark.parametrize("dev", ["dev", "devel", "validation"])
def test_ner_corpus_is_read_under_any_usual_file_name(tmp_path: Path, dev: str) -> None:
    splits = conll.prepare(small_corpora.ner(tmp_path, dev), NER).splits
    first, second = splits["dev"]
    assert first == TokenExample("s0", ("Severe", "kidney", "failure", "."), (0, 1, 2, 0))
    assert second.id == "s1"


def test_missing_split_is_named(tmp_path: Path) -> None:
    (small_corpora.ner(tmp_path) / "devel.tsv").unlink()
    with pytest.raises(MissingFilesError, match=r"dev\.tsv is missing in .* \(nor devel\.tsv"):
        conll.prepare(tmp_path, NER)


def test_documents_give_sentences_their_names(tmp_path: Path) -> None:
    text = "-DOCSTART- 91075236\n\na\tO\n\nb\tB\n-DOCSTART- (7)\n\nc\tO\n\n-DOCSTART- -X- O O\n\nd\tO"
    path = small_corpora.put(tmp_path / "train.tsv", text)
    assert [example.id for example in conll.examples(path, NER)] == ["91075236_s0", "91075236_s1", "7_s0", "s0"]


def test_windows_line_ends_and_a_missing_last_one_are_fine(tmp_path: Path) -> None:
    path = small_corpora.put(tmp_path / "train.tsv", "a\tO\r\n\r\nb\tB-Disease")
    assert [tags(example, NER) for example in conll.examples(path, NER)] == [["O"], ["B"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tO\nb\n", r"train\.tsv, line 2: found 'b'; a word and its tag expected"),
        ("a\tO\nb\tO\tO\n", r"line 2: found"),
        ("a NN O\nb O\n", r"line 2: found 'b O'; 3 columns, a word first and its tag last, expected"),
        ("a\tO\n\tO\n", r"line 2: found"),
        ("a\tO\n\nb\tX-Disease\n", r'line 3: tag "X-Disease" is not a label of ncbi_disease'),
        ("\n\n", "holds no words"),
        ("", "holds no words"),
    ],
)
def test_malformed_conll_is_refused_with_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    path = small_corpora.put(tmp_path / "train.tsv", text)
    with pytest.raises(UserError, match=expected):
        conll.examples(path, NER)


def test_bytes_that_are_no_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = small_corpora.put(tmp_path / "train.tsv", b"a\tO\ncaf\xe9\tO\n")
    with pytest.raises(UserError, match=r"train\.tsv, line 2: byte 4 is not UTF-8"):
        conll.examples(path, NER)


def test_pico_tags_stand_on_every_word(tmp_path: Path) -> None:
    splits = ebm_pico.prepare(small_corpora.pico(tmp_path), PICO).splits
    first, second, third = splits["train"]
    assert tags(first, PICO) == ["B-INT", "O", "B-PAR", "O"]
    assert tags(second, PICO) == ["B-OUT"]
    assert [first.id, second.id, third.id] == ["001_s0", "001_s1", "002_s0"]


def test_missing_pico_train_says_what_holds_it(tmp_path: Path) -> None:
    small_corpora.pico(tmp_path, ("dev", "test"))
    with pytest.raises(MissingFilesError, match=r"train\.tsv is missing .* ebm_nlp_2_00\.tar\.gz") as error:
        ebm_pico.prepare(tmp_path, PICO)
    assert "--partial-ebm-pico" not in str(error.value)
    (tmp_path / "partial_train_iob").mkdir()
    with pytest.raises(MissingFilesError, match="--partial-ebm-pico"):
        ebm_pico.prepare(tmp_path, PICO)
    with pytest.raises(MissingFilesError, match="holds no"):
        ebm_pico.prepare(tmp_path, PICO, partial=True)


def test_partial_pico_leaves_out_repeats_and_the_abstracts_of_dev_and_test(tmp_path: Path) -> None:
    small_corpora.pico(tmp_path, ("dev", "test"))
    start = "-DOCSTART- -X- O O\n\n"
    of_dev = "xylitol NN B-INTV\nfor IN O\nChildren0 NN B-POPU\n. . O\n\nCaries NN B-OC\n\n"
    fresh = "The DT O\nTOM NNP B-INTV\ntest NN I-INTV\nrelief NN B-OC\nboys NN B-POPU\n\nEnd . O\n\n"
    small_corpora.put(tmp_path / "partial_train_iob" / "one.iob", start + of_dev + start + fresh)
    small_corpora.put(tmp_path / "partial_train_iob" / "two.iob", start + fresh)
    prepared = ebm_pico.prepare(tmp_path, PICO, partial=True)
    first, second = prepared.splits["train"]
    assert tags(first, PICO) == ["O", "B-INT", "B-INT", "B-OUT", "B-PAR"]
    assert second.tokens == ("End",)
    assert prepared.notes["train"].startswith("partial: 1 of")
    assert list(prepared.splits) == ["train", "dev", "test"]


def test_authors_archive_gives_all_splits(tmp_path: Path) -> None:
    splits = ebm_pico.prepare(small_corpora.ebm_nlp(tmp_path), PICO).splits
    assert {split: [example.id for example in found] for split, found in splits.items()} == {
        "train": ["11_s0", "11_s1"],
        "dev": ["12_s0", "12_s1"],
        "test": ["13_s0", "13_s1"],
    }
    first, second = splits["test"]
    assert first.tokens == ("We", "treat", "caries13", ".")
    assert tags(first, PICO) == ["O", "B-INT", "B-INT", "O"]  # the intervention covers the participant
    assert tags(second, PICO) == ["B-OUT"]


def test_benchmark_files_are_preferred_to_the_archive(tmp_path: Path) -> None:
    small_corpora.ebm_nlp(small_corpora.pico(tmp_path, ("dev", "test")))
    splits = ebm_pico.prepare(tmp_path, PICO).splits
    assert splits["train"][0].id == "11_s0"
    assert splits["dev"][0].id == "001_s0"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (
            {"annotations/aggregated/starting_spans/outcomes/train/11.AGGREGATED.ann": "0\n1"},
            r"member .*outcomes/train/11\.AGGREGATED\.ann: 2 values for 5 words; one per word expected",
        ),
        (
            {"annotations/aggregated/starting_spans/outcomes/train/11.AGGREGATED.ann": "0 0 x 0 0"},
            r"value 3 is 'x'; a number expected",
        ),
        (
            {"annotations/aggregated/starting_spans/outcomes/train/99.AGGREGATED.ann": "0"},
            r"abstract 99 has annotations but no documents/99\.tokens",
        ),
    ],
)
def test_malformed_member_is_named(tmp_path: Path, members: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        ebm_pico.prepare(small_corpora.ebm_nlp(tmp_path, members), PICO)


def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    archive = small_corpora.ebm_nlp(tmp_path) / "ebm_nlp_2_00.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(UserError, match="cannot be read as a tar archive"):
        ebm_nlp.read(archive, PICO)


def test_listed_abstract_must_be_in_the_archive(tmp_path: Path) -> None:
    small_corpora.ebm_nlp(tmp_path)
    small_corpora.put(tmp_path / "indexing" / "dev_pmid.tsv", "12,404")
    with pytest.raises(UserError, match=r"dev_pmid\.tsv: lists '404', which the corpus does not have"):
        ebm_pico.prepare(tmp_path, PICO)
