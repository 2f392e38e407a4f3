"""GAD, DDI and ChemProt, and what the last two share: markers and sentences."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.prepare import small_corpora
from trainables.data import tasks
from trainables.data.examples import TextExample
from trainables.data.prepare import chemprot, ddi, gad, markers, sentences
from trainables.data.prepare.corpus import MissingFilesError
from trainables.errors import UserError

GAD, DDI, CHEMPROT = tasks.get("gad"), tasks.get("ddi"), tasks.get("chemprot")


def labelled(examples: list, task: tasks.Task) -> list[tuple[str, str, str]]:
    return [(example.id, example.text, task.labels[example.label]) for example in examples]


def test_gad_is_read_with_quotes_meaning_nothing(tmp_path: Path) -> None:
    splits = gad.prepare(small_corpora.gad(tmp_path), GAD).splits
    expected = [TextExample("0", 'a "@GENE$ and @DISEASE$', 1), TextExample("1", "no @GENE$", 0)]
    assert splits == {"train": expected, "dev": expected, "test": expected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id\tsentence\tlabel\n0\ta\t1\n", r"line 1: found .*; the header index <TAB> sentence <TAB> label expected"),
        ("index\tsentence\tlabel\n0\ta\tb\t1\n", r"train\.tsv, line 2: 4 fields; 3 expected"),
        ("index\tsentence\tlabel\n0\ta\t2\n", "line 2: label '2' is not a label of gad"),
        ("index\tsentence\tlabel\n", "holds no rows"),
    ],
)
def test_malformed_gad_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    small_corpora.put(small_corpora.gad(tmp_path) / "train.tsv", text)
    with pytest.raises(UserError, match=expected):
        gad.prepare(tmp_path, GAD)


def test_gads_folds_become_splits_and_a_partition(tmp_path: Path) -> None:
    prepared = gad.prepare(small_corpora.gad_folds(tmp_path, 4), GAD)
    first = ["@GENE$ 0.1", "@GENE$ 0.2", "@GENE$ 0.3"]
    assert [example.text for example in prepared.splits["test"]] == ["again", *first]
    assert [example.id for example in prepared.splits["dev"]] == ["2.0", "2.1", "2.2", "2.3"]
    assert len(prepared.splits["train"]) == 8
    assert prepared.folds[4][0] == ["test/1.0", "test/1.1", "test/1.2", "test/1.3"]
    assert prepared.folds[4][1] == ["dev/2.0", "dev/2.1", "dev/2.2", "dev/2.3"]
    assert sorted(prepared.folds[4][2] + prepared.folds[4][3]) == [
        f"train/{k}.{row}" for k in (3, 4) for row in range(4)
    ]


def test_gads_folds_are_found_in_the_benchmarks_split(tmp_path: Path) -> None:
    small_corpora.gad_folds(tmp_path)
    rows = [f"@GENE$ {fold}.{row}\t{row % 2}" for fold in range(3) for row in range(1, 4)] + ["again\t1"] * 3
    for place, split in enumerate(("train", "dev", "test")):
        own = "".join(f"{number}\t{row}\n" for number, row in enumerate(rows[place::3]))
        small_corpora.put(tmp_path / f"{split}.tsv", f"index\tsentence\tlabel\n{own}")
    prepared = gad.prepare(tmp_path, GAD)
    by_id = {f"{split}/{e.id}": e for split, found in prepared.splits.items() for e in found}
    texts = [sorted(by_id[name].text for name in fold) for fold in prepared.folds[3]]
    assert texts == [[f"@GENE$ {fold}.{row}" for row in range(1, 4)] + ["again"] for fold in range(3)]
    assert sorted(name for fold in prepared.folds[3] for name in fold) == sorted(by_id)
    assert prepared.notes == {}


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("2/train.tsv", "other\t1\n", r"2/train\.tsv: not the examples of the other folds' test files"),
        ("2/test.tsv", "a\tb\tc\t1\n", r"2/test\.tsv, line 1: 4 fields; sentence <TAB> label expected"),
        ("2/test.tsv", "sentence\tlabel\n", r"2/test\.tsv: holds no rows"),
        ("2/test.tsv", "a\t2\n", "line 1: label '2' is not a label of gad"),
        ("5/test.tsv", "a\t1\n", "folds 1, 2, 3, 5; 1, 2, ... and at least 3 expected"),
        ("train.tsv", "index\tsentence\tlabel\n0\tother\t1\n", "fold 1 has '@GENE\\$ 0.1', which no split has"),
    ],
)
def test_malformed_folds_of_gad_are_refused(tmp_path: Path, file: str, text: str, expected: str) -> None:
    small_corpora.gad_folds(tmp_path)
    if file == "train.tsv":
        small_corpora.gad(tmp_path)
        for split in ("dev", "test"):
            small_corpora.put(tmp_path / f"{split}.tsv", "index\tsentence\tlabel\n0\tagain\t1\n")
    small_corpora.put(tmp_path / file, text)
    with pytest.raises(UserError, match=expected):
        gad.prepare(tmp_path, GAD)


@pytest.mark.parametrize("unpacked", [False, True])
def test_ddi_pairs_are_marked_by_offset(tmp_path: Path, unpacked: bool) -> None:
    splits = ddi.prepare(small_corpora.ddi(tmp_path, unpacked=unpacked), DDI).splits
    name = small_corpora.DDI_FILES["dev"]
    assert labelled(splits["dev"], DDI) == [
        (f"{name}.s1.p0", "@DRUG$ and @DRUG$.  ", "DDI-effect"),
        (f"{name}.s1.p1", "@DRUG-DRUG$farin.  ", "DDI-int"),  # overlapping; true without a type
        (f"{name}.s1.p2", "@DRUG$ and @DRUG$.  ", "0"),
    ]


def damaged(old: str, new: str) -> Callable[[str], dict[str, str]]:
    def documents(name: str) -> dict[str, str]:
        intact = {file: small_corpora.ddi_document(file) for file in small_corpora.DDI_FILES.values()}
        return {**intact, name: intact[name].replace(old, new)}

    return documents


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (damaged("</document>", ""), r"line \d+: not XML at column"),
        (damaged('charOffset="0-6"', 'charOffset="0:6"'), "sentence 2: 'charOffset' is '0:6'; start-end"),
        (damaged('charOffset="0-6"', 'charOffset="0-60"'), "ends behind the sentence's 23 characters"),
        (damaged('type="effect"', 'type="efect"'), "pair .*p0: label 'DDI-efect' .*did you mean 'DDI-effect'"),
        (damaged('ddi="false"', 'ddi="no"'), "pair .*p2: 'ddi' is 'no'; true or false expected"),
        (damaged('e2="Warfarin_ddi.xml.s1.e2"', 'e2="e9"'), "entity 'e9' is not in its sentence"),
        (damaged(' id="Warfarin_ddi.xml.s1.e0"', ""), "<entity> has no attribute 'id'"),
    ],
)
def test_malformed_ddi_is_refused_with_member_and_place(
    tmp_path: Path, change: Callable[[str], dict[str, str]], expected: str
) -> None:
    small_corpora.ddi(tmp_path, change("Warfarin_ddi.xml"))
    with pytest.raises(UserError, match=rf"DDICorpus\.zip, member DDICorpus/Train/Warfarin_ddi\.xml.*{expected}"):
        ddi.prepare(tmp_path, DDI)


def test_what_ddi_needs_beside_the_archive_is_named(tmp_path: Path) -> None:
    (small_corpora.ddi(tmp_path) / "indexing" / "dev_files.tsv").unlink()
    with pytest.raises(MissingFilesError, match=r"indexing/dev_files\.tsv is missing"):
        ddi.prepare(tmp_path, DDI)
    (tmp_path / "DDICorpus.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be read as a zip archive"):
        ddi.prepare(tmp_path, DDI)
    (tmp_path / "DDICorpus.zip").unlink()
    with pytest.raises(MissingFilesError, match="neither a zip of the DDI corpus nor its XML files"):
        ddi.prepare(tmp_path, DDI)


def test_chemprot_pairs_are_those_of_one_sentence(tmp_path: Path) -> None:
    splits = chemprot.prepare(small_corpora.chemprot(tmp_path), CHEMPROT).splits
    assert labelled(splits["train"], CHEMPROT) == [
        ("98.T1.T2", "@CHEMICAL$ binds @GENE$", "CPR:4"),  # two evaluated groups: the higher one
        ("98.T4.T5", "@CHEM-GENE$ helps.", "0"),  # CPR:2 is not evaluated
    ]
    assert [example.id for example in splits["test"]] == ["94.T1.T2", "94.T4.T5"]


def test_chemprot_split_of_the_benchmark_is_taken_as_it_is(tmp_path: Path) -> None:
    prepared = chemprot.prepare(small_corpora.chemprot(tmp_path), CHEMPROT)
    assert labelled(prepared.splits["dev"], CHEMPROT) == [
        ("5.T1.T2", '"@GENE$ and @CHEMICAL$', "CPR:9"),
        ("5.T1.T3", "@CHEM-GENE$", "0"),
    ]
    assert set(prepared.notes) == {"train", "test"}


@pytest.mark.parametrize(
    ("what", "old", "new", "expected"),
    [
        (
            "entities",
            "\t14\t17\tCOX\n",
            "\t13\t17\tCOX\n",
            "line 2: characters 13 to 17 of 98 are ' COX'; 'COX' expected",
        ),
        ("entities", "\t14\t", "\tx\t", "line 2: start is 'x'; a whole number expected"),
        ("entities", "GENE-N", "GENES", "line 3: type is 'GENES'; CHEMICAL, GENE, GENE-Y, GENE-N expected"),
        ("entities", "98\tT1", "97\tT1", "line 1: abstract '97' is not in the abstracts' file"),
        ("relations", "Arg1:T1\tArg2:T2", "Arg1:T2\tArg2:T2", "line 1: 'Arg1:T2' names no mention"),
        ("relations", "CPR:3\tY \t", "CPR:3\tyes\t", "line 1: the third field is 'yes'; Y"),
        ("relations", "CPR:4", "CPR:44", "label 'CPR:44' is not a label of chemprot; did you mean"),
        ("abstracts", "\tIt blocks", " It blocks", "line 1: 2 fields; 3 expected: PMID <TAB> title <TAB> abstract"),
    ],
)
def test_malformed_chemprot_is_refused(tmp_path: Path, what: str, old: str, new: str, expected: str) -> None:
    path = small_corpora.chemprot(tmp_path) / "original" / f"chemprot_training_{what}.tsv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=expected):
        chemprot.prepare(tmp_path, CHEMPROT)


def test_missing_chemprot_files_are_named(tmp_path: Path) -> None:
    (small_corpora.chemprot(tmp_path) / "original" / "chemprot_test_entities_gs.tsv").unlink()
    with pytest.raises(MissingFilesError, match=r"neither blurb/test\.tsv nor original/chemprot_test_entities\.tsv"):
        chemprot.prepare(tmp_path, CHEMPROT)


def test_mentions_are_replaced_in_either_order() -> None:
    assert markers.mark("ab cd", (3, 5), (0, 2), ("@X$", "@Y$"), "@XY$") == "@Y$ @X$"
    assert markers.mark("ab cd", (0, 4), (3, 5), ("@X$", "@Y$"), "@XY$") == "@XY$"
    assert markers.mark("abcd", (0, 2), (2, 4), ("@X$", "@Y$"), "@XY$") == "@X$@Y$"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One ends. Two begins.", ["One ends. ", "Two begins."]),
        ("In animals. nAChRs exist.", ["In animals. ", "nAChRs exist."]),
        ("At 4 degrees C. At 37 h. Yes.", ["At 4 degrees C. At 37 h. Yes."]),
        ("We saw 5 vs. 4 mice. Why? Unknown!", ["We saw 5 vs. 4 mice. ", "Why? ", "Unknown!"]),
        ("Given (10 mg, i.p.) twice.", ["Given (10 mg, i.p.", ") twice."]),
        ("Obtained.(22) The end.", ["Obtained.", "(22) The end."]),
        ("A mean of 3.4 was 5. lower.", ["A mean of 3.4 was 5. lower."]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences_end_where_the_benchmark_ends_them(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences.spans(text)] == expected


@given(st.text(alphabet='aB1 .?!()"-,;\n', max_size=60))
def test_sentences_cover_the_text_without_gaps(text: str) -> None:
    assert "".join(text[start:end] for start, end in sentences.spans(text)) == text
    assert all(start < end for start, end in sentences.spans(text))
