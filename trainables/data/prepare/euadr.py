"""EU-ADR's relations of targets (genes and their variants) and diseases: whether the sentence states an association.

The corpus is distributed as a table per pair of types, of which BioBERT, and with it the transfer-data paper, takes
target and disease. The label is 1 for every annotated association, whatever its kind (``PA`` positive, ``SA``
speculative, ``NA`` negative), and 0 for none (``FA``). BioBERT's ten folds hold the same 355 rows; they are read from
the JSON-lines edition that has their test files, ``test_0.json`` to ``test_9.json``.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from trainables.data import textfiles
from trainables.data.examples import Example, TextExample
from trainables.data.prepare import draws, jsonfile
from trainables.data.prepare.corpus import Prepared, find, require, whole_number
from trainables.data.prepare.markers import mark
from trainables.data.tasks import Task
from trainables.errors import UserError

_TABLE = "EUADR_target_disease.csv"
_FOLDS = "biobert_folds"
#: Rows in BioBERT's distribution and ours.
ROWS = 355
_LABELS = {"PA": "1", "SA": "1", "NA": "1", "FA": "0"}
_RELATIONS = {"positive": "1", "negative": "0"}
_MARKERS = {
    "Genes & Molecular Sequences": "@GENE$",
    "SNP & Sequence variations": "@GENE$",
    "Diseases & Disorders": "@DISEASE$",
}
_COLUMNS = (
    "ASSOCIATION_TYPE",
    "PMID",
    "NUM_SENTENCE",
    *(f"ENTITY{number}_{part}" for number in (1, 2) for part in ("TEXT", "INI", "END", "TYPE")),
)


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads BioBERT's folds from ``biobert_folds/``, or else the table, of which splits are drawn.

    Of the folds the first is test, the second dev, and the others are trained on.
    """
    path = find(folder, _FOLDS)
    if path is None:
        examples = table(require(folder, _TABLE), task)
        with textfiles.at(folder):
            return Prepared(draws.tenths(examples), {"train": f"{_counted(len(examples))}; the split is ours"})
    parts = _folds(path, task)
    splits: dict[str, list[Example]] = {
        "train": [example for part in parts[2:] for example in part],
        "dev": list(parts[1]),
        "test": list(parts[0]),
    }
    names = ["test", "dev", *["train"] * (len(parts) - 2)]
    members = [[f"{split}/{example.id}" for example in part] for split, part in zip(names, parts, strict=True)]
    note = f"{_counted(sum(map(len, parts)))}; test is the first of BioBERT's folds, dev the second"
    return Prepared(splits, {"train": note}, {len(parts): members})


def _counted(rows: int) -> str:
    return f"{rows} rows in all, {'as' if rows == ROWS else f'{ROWS}'} in BioBERT's distribution"


def table(path: Path, task: Task) -> list[TextExample]:
    """The examples of the distributed table, in Latin-1; ids are line numbers.

    Raises:
        UserError: For a row that is not as the corpus's readme says.
    """
    text = textfiles.content(path).decode("latin-1")  # has a character for every byte
    examples = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    for number, row in enumerate(reader, start=1):
        if number == 1 or not row:
            continue
        with textfiles.at(path, reader.line_num):
            if len(row) != len(_COLUMNS) + 1:
                raise UserError(f"{len(row)} fields; {len(_COLUMNS) + 1} expected: {', '.join(_COLUMNS)}, SENTENCE")
            examples.append(_example(str(number), dict(zip(_COLUMNS, row, strict=False)), row[-1], task))
    if not examples:
        raise UserError(f"{path}: holds no rows")
    return examples


def _example(name: str, row: dict[str, str], sentence: str, task: Task) -> TextExample:
    if row["ASSOCIATION_TYPE"] not in _LABELS:
        raise UserError(f"ASSOCIATION_TYPE is {row['ASSOCIATION_TYPE']!r:.60}; {', '.join(_LABELS)} expected")
    spans, markers = [], []
    for which in ("ENTITY1_", "ENTITY2_"):
        span = whole_number(row[f"{which}INI"], f"{which}INI"), whole_number(row[f"{which}END"], f"{which}END")
        if sentence[slice(*span)] != row[f"{which}TEXT"]:
            raise UserError(f"characters {span[0]} to {span[1]} are not {row[f'{which}TEXT']!r:.60}")
        if row[f"{which}TYPE"] not in _MARKERS:
            raise UserError(f"{which}TYPE is {row[f'{which}TYPE']!r:.60}; {', '.join(_MARKERS)} expected")
        spans.append(span)
        markers.append(_MARKERS[row[f"{which}TYPE"]])
    marked = mark(sentence, spans[0], spans[1], (markers[0], markers[1]), "@GENE-DISEASE$")
    return TextExample(name, marked, task.labels.index(_LABELS[row["ASSOCIATION_TYPE"]]))


def _folds(folder: Path, task: Task) -> list[list[TextExample]]:
    """The folds' test files, in the order of their numbers."""
    numbers = sorted(int(path.stem.removeprefix("test_")) for path in folder.glob("test_*.json"))
    if numbers != list(range(len(numbers))) or len(numbers) < 3:
        raise UserError(f"{folder}: folds {', '.join(map(str, numbers)) or 'none'}; test_0.json, ... expected")
    return [_fold(folder / f"test_{number}.json", task) for number in numbers]


def _fold(path: Path, task: Task) -> list[TextExample]:
    examples = []
    for line, row in jsonfile.rows(path):
        with textfiles.at(path, line):
            relations = row.get("relation")
            first = relations[0] if isinstance(relations, list) and relations else None
            kind = first.get("relation_type") if isinstance(first, dict) else None
            if kind not in _RELATIONS:
                raise UserError(f"'relation_type' is {kind!r:.60}; {', '.join(_RELATIONS)} expected")
            label = task.labels.index(_RELATIONS[kind])
            examples.append(TextExample(jsonfile.text(row, "id"), jsonfile.text(row, "text"), label))
    return examples
