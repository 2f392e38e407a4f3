"""The JSON-lines layout: what is accepted, what is refused and how the refusal reads."""

import json
import re
from pathlib import Path

import pytest

from trainables.data import jsonl, tasks
from trainables.data.examples import SPLITS, TextExample, TokenExample
from trainables.errors import UserError

NER, PICO, NBME = tasks.get("ncbi_disease"), tasks.get("ebm_pico"), tasks.get("nbme")
DDI, GAD, PUBMEDQA, HOC = tasks.get("ddi"), tasks.get("gad"), tasks.get("pubmedqa"), tasks.get("hoc")
NO_HALLMARK, FIRST, LAST = [0] * 10, [1] + [0] * 9, [0] * 9 + [1]


def write_rows(folder: Path, task: tasks.Task, *rows: object) -> Path:
    (folder / task.folder).mkdir(parents=True, exist_ok=True)
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    for split in SPLITS:
        (folder / task.folder / f"{split}.json").write_bytes(text.encode())
    return folder


def read_train(folder: Path, task: tasks.Task, *rows: object) -> list:
    return list(jsonl.read(write_rows(folder, task, *rows), task)["train"])


def refusal(folder: Path, task: tasks.Task, *rows: object) -> str:
    with pytest.raises(UserError) as error:
        read_train(folder, task, *rows)
    return str(error.value)


def words(tags: list[object], name: object = "a", tokens: list[object] | None = None) -> dict[str, object]:
    return {"id": name, "tokens": tokens if tokens is not None else ["w"] * len(tags), "ner_tags": tags}


def sentence(label: object, name: object = "a", text: object = "text") -> dict[str, object]:
    return {"id": name, "sentence": text, "label": label}


def test_files_come_in_the_order_of_the_splits(tmp_path: Path) -> None:
    folder = write_rows(tmp_path, DDI, sentence("0"))
    assert [path.name for path in jsonl.split_files(folder, DDI)] == ["train.json", "dev.json", "test.json"]


def test_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    folder = write_rows(tmp_path, DDI, sentence("0"))
    (folder / DDI.folder / "dev.json").unlink()
    with pytest.raises(
        UserError, match=r"seqcls/DDI_hf/dev\.json.* does not exist.*orchestrator\.prepare_data"
    ) as error:
        jsonl.split_files(folder, DDI)
    assert "--tasks ddi" in str(error.value)


@pytest.mark.parametrize("tags", [["B-Disease", "I-Disease", "O"], ["B", "I", "O"]])
def test_ner_tags_lose_their_entity_type(tmp_path: Path, tags: list[object]) -> None:
    (example,) = read_train(tmp_path, NER, words(tags))
    assert example == TokenExample("a", ("w", "w", "w"), (1, 2, 0))


@pytest.mark.parametrize("tags", [["I-PAR", "I-INT", "O", "I-OUT"], ["B-PAR", "B-INT", "O", "B-OUT"]])
def test_pico_tags_mean_the_same_inside_and_at_the_beginning(tmp_path: Path, tags: list[object]) -> None:
    (example,) = read_train(tmp_path, PICO, words(tags))
    assert [PICO.labels[tag] for tag in example.tags] == ["B-PAR", "B-INT", "O", "B-OUT"]


@pytest.mark.parametrize("label", [1, "1"])
def test_labels_may_be_numbers_or_text(tmp_path: Path, label: object) -> None:
    assert read_train(tmp_path, GAD, sentence(label)) == [TextExample("a", "text", 1)]


def test_pairs_keep_both_texts(tmp_path: Path) -> None:
    row = {"id": 7, "sentence1": "question", "sentence2": "context", "label": "maybe"}
    assert read_train(tmp_path, PUBMEDQA, row) == [TextExample("7", "question", 2, pair="context")]


def test_rows_with_a_label_that_the_task_drops_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"id": name, "sentence1": "question", "sentence2": "context", "label": name} for name in ("no", "maybe", "yes")
    ]
    found = read_train(tmp_path, tasks.get("pubmedqa_yesno"), *rows)
    assert [(example.id, example.label) for example in found] == [("no", 1), ("yes", 0)]
    with pytest.raises(UserError, match="--tasks pubmedqa`"):
        jsonl.split_files(tmp_path / "nowhere", tasks.get("pubmedqa_yesno"))


def test_sentences_of_an_abstract_are_joined_by_their_numbers(tmp_path: Path) -> None:
    rows = [sentence(LAST, "9_s10", "c"), sentence(NO_HALLMARK, "9_s2", "b"), sentence(FIRST, "9_s0", "a")]
    examples = read_train(tmp_path, HOC, sentence(NO_HALLMARK, "8_s0", "z"), *rows)
    assert examples == [TextExample("8", "z", (0,) * 10), TextExample("9", "a b c", (1, *(0,) * 8, 1))]


def test_joined_abstracts_stay_as_they_are(tmp_path: Path) -> None:
    assert read_train(tmp_path, HOC, sentence(FIRST, "9", "a b")) == [TextExample("9", "a b", tuple(FIRST))]


def test_blank_lines_a_byte_order_mark_and_odd_line_ends_inside_texts_are_fine(tmp_path: Path) -> None:
    line = json.dumps(sentence("0", text="one\u2028two\x85three"), ensure_ascii=False)
    (example,) = read_train(tmp_path, DDI, "\ufeff" + line + "\r\n", "\n")
    assert example.text == "one\u2028two\x85three"


@pytest.mark.parametrize(
    ("task", "example"),
    [
        (NER, TokenExample("n", ("β-cell", "tumor"), (1, 2))),
        (PICO, TokenExample("p", ("a", "b"), (3, 0))),
        (NBME, TokenExample("s", ("17", "yo"), (1, 0), question="Age of the patient")),
        (DDI, TextExample("d", 'an unpaired " and a\ttab', 4)),
        (PUBMEDQA, TextExample("q", "question", 2, pair="context")),
        (HOC, TextExample("h", "text", tuple(LAST))),
    ],
)
def test_what_is_written_reads_back(tmp_path: Path, task: tasks.Task, example: TextExample | TokenExample) -> None:
    jsonl.write(tmp_path / "train.json", task, [example])
    assert jsonl.read_file(tmp_path / "train.json", task) == [example]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"id": 1,\n', "not JSON"),
        ("[1]\n", r"found \[1\]; one JSON object expected"),
        ({"id": "a", "label": "0"}, "no field 'sentence'; found 'id', 'label'"),
        ({"sentence": "s", "label": "0"}, "no field 'id'"),
        (sentence("0", name=""), "'id' is \"\""),
        (sentence("0", text=" "), "'sentence' is \" \"; text expected"),
        (sentence("0", text=3), "'sentence' is 3; text expected"),
        (sentence("DDI-efect"), "label 'DDI-efect' is not a label of ddi; did you mean 'DDI-effect'"),
        (sentence(7), "label '7' is not a label of ddi"),
        (sentence(True), "'label' is true"),
        (sentence(None), "'label' is null"),
    ],
)
def test_malformed_sentence_is_refused_with_file_and_line(tmp_path: Path, row: object, expected: str) -> None:
    message = refusal(tmp_path, DDI, sentence("0", name="first"), row)
    assert message.startswith(f"{tmp_path / DDI.folder / 'train.json'}, line 2: ")
    assert re.search(expected, message)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (words([], tokens=[]), "a list of at least one word expected"),
        (words(["O"], tokens=["a", "b"]), "1 tags for 2 tokens"),
        (words(["O"], tokens=[""]), r"'tokens'\[0\] is \"\"; a word expected"),
        (words(["O"], tokens=[None]), r"'tokens'\[0\] is null"),
        (words(["X-Disease"]), 'tag "X-Disease" is not a label of ncbi_disease'),
        (words([1]), "tag 1 is not a label of ncbi_disease; choices: B, I, O"),
    ],
)
def test_malformed_words_are_refused(tmp_path: Path, row: object, expected: str) -> None:
    assert re.search(expected, refusal(tmp_path, NER, row))


def test_a_task_with_questions_needs_them_and_no_other_has_them(tmp_path: Path) -> None:
    assert "no field 'question'" in refusal(tmp_path, NBME, words(["B"]))
    assert "'question' is \" \"; text expected" in refusal(tmp_path, NBME, words(["B"]) | {"question": " "})
    (example,) = read_train(tmp_path, NER, words(["B"]) | {"question": "which"})
    assert example == TokenExample("a", ("w",), (1,))


def test_unknown_pico_tag_names_the_nearest(tmp_path: Path) -> None:
    assert "did you mean 'B-PAR'" in refusal(tmp_path, PICO, words(["I-PART"]))


@pytest.mark.parametrize("label", [[1, 0], [2] + [0] * 9, [True] + [0] * 9, "1", None])
def test_malformed_hallmarks_are_refused(tmp_path: Path, label: object) -> None:
    assert "a list of 10 numbers 0 or 1 expected" in refusal(tmp_path, HOC, sentence(label))


def test_an_abstract_whole_and_in_sentences_is_refused(tmp_path: Path) -> None:
    assert "whole and as sentences" in refusal(tmp_path, HOC, sentence(FIRST, "9"), sentence(FIRST, "9_s0"))


def test_ids_are_unique_within_a_split(tmp_path: Path) -> None:
    assert "line 2: id 'a' stands in line 1 already" in refusal(tmp_path, DDI, sentence("0"), sentence("0"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "holds no examples" in refusal(tmp_path, DDI, "\n")


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    folder = write_rows(tmp_path, DDI, sentence("0"))
    (folder / DDI.folder / "dev.json").write_bytes(b'{"id": "a", "sentence": "caf\xe9", "label": "0"}\n')
    with pytest.raises(UserError, match=r"dev\.json, line 1: byte 29 is not UTF-8"):
        jsonl.read(folder, DDI)
