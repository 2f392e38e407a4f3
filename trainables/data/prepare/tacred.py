"""TACRED (LDC2018T24) as one question of yes or no: whether the two entities of a sentence stand in any relation.

The transfer-data paper brought it into the format of BioBERT's relation extraction. There both mentions are replaced by
markers of their types, and labels are 0 and 1: so here, ``@PERSON$`` and ``@CITY$``, and 0 where the relation is
``no_relation``. The paper used 60,000 of the 106,264 examples, and does not say which: set ``train_limit`` for fewer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainables.data import textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare import jsonfile
from trainables.data.prepare.corpus import Prepared, split_file
from trainables.data.prepare.markers import Span
from trainables.data.tasks import Task
from trainables.errors import UserError

_NONE = "no_relation"
#: How the tokenizer of the corpus writes brackets.
_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``train.json``, ``dev.json`` and ``test.json``, each a list of records.

    Of a record: ``id``, ``token`` (words), ``relation``, and for both entities first and last word and type:
    ``subj_start``, ``subj_end``, ``subj_type``, ``obj_start``, ``obj_end``, ``obj_type``. Records whose mentions
    overlap are left out, for two markers cannot stand for them.
    """
    splits: dict[str, list[Example]] = {}
    notes: dict[str, str] = {}
    for split in SPLITS:
        splits[split], left_out = _read(split_file(folder, split, ".json"), task)
        if left_out:
            records = len(splits[split]) + left_out
            notes[split] = f"{left_out} of {records} records are left out, since their two mentions overlap"
    return Prepared(splits, notes)


def _read(path: Path, task: Task) -> tuple[list[Example], int]:
    """The examples of a file, and how many records are left out."""
    records = jsonfile.load(path)
    if not isinstance(records, list) or not records:
        raise UserError(f"{path}: a list of records expected")
    examples: list[Example] = []
    for number, record in enumerate(records, start=1):
        with textfiles.at(f"{path}, record {number}"):
            if not isinstance(record, dict):
                raise UserError("an object with id, token, relation and both entities expected")
            name, text = jsonfile.text(record, "id"), _text(record)
            related = jsonfile.text(record, "relation") != _NONE
            if text is not None:
                examples.append(TextExample(name, text, task.labels.index(str(int(related)))))
    if not examples:
        raise UserError(f"{path}: the two mentions of each of its {len(records)} records overlap; others expected")
    return examples, len(records) - len(examples)


def _text(record: dict[str, Any]) -> str | None:
    """The words joined by blanks, each mention as one marker; None where the mentions overlap."""
    tokens = record.get("token")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise UserError("'token' must be a list of words")
    subject, object_ = _mention(record, "subj", len(tokens)), _mention(record, "obj", len(tokens))
    if subject[0] < object_[1] and object_[0] < subject[1]:
        return None
    words: list[str] = [str(_BRACKETS.get(token, token)) for token in tokens]
    # The later mention first, so that the other's place stays what it is.
    for (start, end), who in sorted(((subject, "subj"), (object_, "obj")), reverse=True):
        words[start:end] = [f"@{jsonfile.text(record, f'{who}_type')}$"]
    return " ".join(words)


def _mention(record: dict[str, Any], who: str, length: int) -> Span:
    """Words of an entity: start, end (exclusive)."""
    first, last = record.get(f"{who}_start"), record.get(f"{who}_end")
    if type(first) is not int or type(last) is not int or not 0 <= first <= last < length:
        raise UserError(f"'{who}_start' and '{who}_end' are {first!r:.20} and {last!r:.20} of {length} words")
    return first, last + 1
