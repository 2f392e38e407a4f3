"""Financial PhraseBank v1.0: sentences of financial news, one per line with its sentiment."""

from __future__ import annotations

from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import TextExample
from trainables.data.prepare import draws
from trainables.data.prepare.corpus import Prepared, require
from trainables.data.tasks import Task
from trainables.errors import UserError

#: Of the corpus's four files the one with all sentences: those on which at least half of the annotators agree.
_FILE = "Sentences_50Agree.txt"
#: As the corpus's authors and the DoKTra paper print it.
SENTENCES = 4_846


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``Sentences_50Agree.txt``: ``sentence@label`` in Latin-1; ids are line numbers.

    No split is distributed; see :func:`trainables.data.prepare.draws.tenths`.
    """
    path = require(folder, _FILE, f"FinancialPhraseBank-v1.0/{_FILE}")
    examples = _read(path, task)
    with textfiles.at(path):
        splits = draws.tenths(examples)
    published = "as published" if len(examples) == SENTENCES else f"{SENTENCES} published"
    drawn = "the split is ours: none is distributed, and the paper's draw of a tenth for test is not recorded"
    return Prepared(splits, {"train": f"{len(examples)} sentences in all, {published}; {drawn}"})


def _read(path: Path, task: Task) -> list[TextExample]:
    examples = []
    # Latin-1 has a character for every byte, so this cannot fail.
    rows = textfiles.lines(textfiles.content(path).decode("latin-1").encode(), path)
    for line, row in rows:
        if row.strip():
            with textfiles.at(path, line):
                sentence, separator, label = row.rpartition("@")
                if not separator or not sentence.strip():
                    raise UserError(f"found {row[:60]!r}; sentence@label expected")
                examples.append(TextExample(str(line), sentence.strip(), jsonl.label_index(label.strip(), task)))
    return examples
