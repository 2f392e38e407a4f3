"""MIND, Microsoft's news data set, as a task of topics: an article's title and which of five categories it is in.

The multi-teacher paper took it from the hub (linxinyuan/mind), without empty values and with five categories "whose
distribution is close"; it prints the sizes of its splits, but not how they were drawn. Two readings:

* ``balanced``, the default: every category is cut to the size of the smallest.
* ``all``: the five categories as they are. The printed 24,428 training examples are no multiple of five, so the
  paper's categories were not all of one size.

What is ours: the text is the title (whether the paper added the abstract is not said), the articles of all parts of the
release are pooled, each title once, and the splits are drawn anew. MIND-large and MIND-small number their articles each
by itself, so that an id may be that of two articles: a title is what makes an article here, and the second title with
an id has it with a number (``N17-2``).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, TextExample
from trainables.data.prepare import draws
from trainables.data.prepare.corpus import MissingFilesError, Prepared, columns
from trainables.data.tasks import Task

CLASSES = ("balanced", "all")
#: As the paper prints them (Table 4.1).
SIZES = {"train": 24_428, "dev": 10_000, "test": 5_000}
_COLUMNS = ("id", "category", "subcategory", "title", "abstract", "url", "title entities", "abstract entities")
#: The task's labels by the release's names of the categories.
TOPICS = {
    "foodanddrink": "food_drink",
    "lifestyle": "lifestyle",
    "video": "video",
    "travel": "travel",
    "finance": "finance",
}


def prepare(folder: Path, task: Task, classes: str = "balanced") -> Prepared:
    """Reads every ``news.tsv``, wherever in the folder.

    Args:
        folder: Of the corpus: one part of the release or several (``MINDlarge_train``, ...), of one edition or of both.
        task: MIND.
        classes: What balanced means: ``balanced`` or ``all``; see the module.

    Raises:
        MissingFilesError: Where there is none.
    """
    paths = sorted(folder.rglob("news.tsv"))
    if not paths:
        raise MissingFilesError(f"{folder} holds no news.tsv")
    found: dict[str, TextExample] = {}
    for path in paths:
        for example in _articles(path, task):
            found.setdefault(example.text, example)
    articles = list(_numbered(found.values()))
    examples = balanced(articles) if classes == "balanced" else articles
    with textfiles.at(folder):
        splits = draws.sized(examples, SIZES)
    drawn = f"{len(examples)} of {len(articles)} articles of the five categories ({classes}); the split is ours"
    return Prepared(splits, dict.fromkeys(SPLITS, drawn))


def _articles(path: Path, task: Task) -> Iterator[TextExample]:
    """The articles of the five categories that have a title."""
    for _, (name, category, _, title, *_) in columns(path, _COLUMNS):
        if category.strip() in TOPICS and title.strip():
            yield TextExample(name, " ".join(title.split()), jsonl.label_index(TOPICS[category.strip()], task))


def _numbered(articles: Iterable[TextExample]) -> Iterator[TextExample]:
    """The same with ids that no two have in common: from the second one with an id on it has a number."""
    times: Counter[str] = Counter()
    for article in articles:
        times[article.id] += 1
        repeated = times[article.id] > 1
        yield dataclasses.replace(article, id=f"{article.id}-{times[article.id]}") if repeated else article


def balanced(examples: Sequence[TextExample]) -> list[TextExample]:
    """As many of every label as the rarest has; which ones follows from the texts alone.

    Args:
        examples: Of different texts, whatever their ids.
    """
    sizes = Counter(str(example.label) for example in examples)
    room = dict.fromkeys(sizes, min(sizes.values(), default=0))
    chosen: set[str] = set()
    for example in sorted(examples, key=lambda one: hashlib.sha256(f"balanced {one.text}".encode()).hexdigest()):
        if room[str(example.label)]:
            room[str(example.label)] -= 1
            chosen.add(example.text)
    return [example for example in examples if example.text in chosen]
