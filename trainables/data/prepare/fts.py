"""FinTextSen (SemEval-2017 task 5, microblogs): messages about stocks, each with a sentiment score from -1 to 1.

The organisers' files are JSON lists of records with ``id``, ``source``, ``cashtag``, ``sentiment score`` and ``spans``,
the parts of the message that show the sentiment. The messages themselves had to be fetched by their ids; editions that
have them call them ``text`` (Twitter) or ``message`` with its ``body`` (StockTwits). The DoKTra paper could still get
1,700 of 2,488, which is the number of records of the organisers' training file.

The paper "clustered" the scores into three classes following Daudert et al. (2018), without saying how. Two ways:

* ``kmeans``, the default: the three clusters with the smallest squared distances (:mod:`.clusters`).
* ``sign``: positive above 0, negative below, neutral at 0. A three-class edition of the same 1,700 records that is in
  circulation has 1092, 581 and 27, which fits this rule; and the paper's accuracies of about 86% are high for clusters
  that part strong from weak optimism.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trainables.data import textfiles
from trainables.data.examples import TextExample
from trainables.data.prepare import clusters, draws, jsonfile
from trainables.data.prepare.corpus import MissingFilesError, Prepared
from trainables.data.tasks import Task
from trainables.errors import UserError

CLASSES = ("kmeans", "sign")
#: Messages of the whole data set, and those that the DoKTra paper could still get.
MESSAGES, AVAILABLE = 2_488, 1_700
_SCORES = ("sentiment score", "sentiment_score", "sentiment")


@dataclasses.dataclass(frozen=True)
class _Message:
    id: str
    cashtag: str
    text: str
    score: float


def prepare(folder: Path, task: Task, classes: str = "kmeans") -> Prepared:
    """Reads the microblogs' files, wherever in the folder; headlines, the task's other half, are left out.

    The text is the message where a record has it, else its spans. Records without either are left out and counted. The
    same message on the same company counts once: trial data are part of the training data. The split is not the
    organisers' but a tenth for test, as in the paper; see :func:`trainables.data.prepare.draws.tenths`.

    Args:
        folder: Of the corpus.
        task: FinTextSen.
        classes: How scores become classes: ``kmeans`` or ``sign``; see the module.
    """
    found: dict[tuple[str, str], _Message] = {}
    without_text: set[tuple[str, str]] = set()
    for path in _files(folder):
        for message in _messages(path):
            key = (message.id, message.cashtag)
            if message.text:
                found.setdefault(key, message)
            else:
                without_text.add(key)
    left_out = len(without_text - found.keys())
    with textfiles.at(folder):
        if not found:
            raise UserError(f"none of the {left_out} records has a text; 'text', 'message' or 'spans' expected")
        bounds = _boundaries([message.score for message in found.values()], classes)
        splits = draws.tenths(list(_examples(found.values(), bounds, task)))
    note = (
        f"{len(found)} messages in all, {left_out} left out for want of a text; {MESSAGES} published, of which the "
        f"paper had {AVAILABLE}; classes by {classes}: negative below {bounds[0]:g}, positive from {bounds[1]:g}; "
        "the split is ours"
    )
    return Prepared(splits, {"train": note})


def _files(folder: Path) -> list[Path]:
    every = sorted(path for path in folder.rglob("*.json*") if "headline" not in path.name.lower())
    microblogs = [path for path in every if "microblog" in path.name.lower()]
    if not every:
        raise MissingFilesError(f"{folder} holds no JSON file of microblogs (as Microblog_Trainingdata.json)")
    return microblogs or every


def _messages(path: Path) -> Iterator[_Message]:
    records = jsonfile.load(path)
    if not isinstance(records, list):
        raise UserError(f"{path}: a list of records expected")
    for number, record in enumerate(records, start=1):
        with textfiles.at(f"{path}, record {number}"):
            if not isinstance(record, dict):
                raise UserError("an object with id, cashtag, sentiment score and spans expected")
            identity = record.get("id")
            if not isinstance(identity, str | int) or isinstance(identity, bool) or identity == "":
                raise UserError(f"'id' is {identity!r:.60}; text or a number expected")
            yield _Message(str(identity), str(record.get("cashtag", "")), _text(record), _score(record))


def _score(record: dict[str, Any]) -> float:
    name = next((name for name in _SCORES if name in record), _SCORES[0])
    value = record.get(name)
    try:
        score = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else float("nan")
    except ValueError:
        score = float("nan")
    if not -1 <= score <= 1:
        raise UserError(f"{name!r} is {value!r:.60}; a number from -1 to 1 expected")
    return score


def _text(record: dict[str, Any]) -> str:
    """The message, else its spans, blanks evened out; empty where the record has neither."""
    message = record.get("message")
    whole = record.get("text") or (message.get("body") if isinstance(message, dict) else message)
    spans = record.get("spans")
    parts = whole if isinstance(whole, str) and whole.strip() else spans
    words = parts if isinstance(parts, list) else [parts]
    return " ".join(" ".join(part.split()) for part in words if isinstance(part, str) and part.strip())


def _boundaries(scores: list[float], classes: str) -> tuple[float, float]:
    """Where neutral begins and where positive begins."""
    if classes == "kmeans":
        return clusters.kmeans_boundaries(scores)
    above = [score for score in scores if score > 0]
    return 0.0, min(above, default=1.0)


def _examples(messages: Iterable[_Message], bounds: tuple[float, float], task: Task) -> Iterator[TextExample]:
    repeated: dict[str, int] = {}
    for message in messages:
        times = repeated[message.id] = repeated.get(message.id, 0) + 1
        name = message.id if times == 1 else f"{message.id}-{times}"
        label = "negative" if message.score < bounds[0] else "positive" if message.score >= bounds[1] else "neutral"
        yield TextExample(name, message.text, task.labels.index(label))
