"""BioCreative VI ChemProt: chemicals, genes and their relations in abstracts, as offsets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare import sentences
from trainables.data.prepare.corpus import MissingFilesError, Prepared, columns, find, whole_number
from trainables.data.prepare.markers import Span, mark
from trainables.data.tasks import Task
from trainables.errors import UserError

_ORIGINAL_SPLITS = {"train": ("training", "train"), "dev": ("development", "dev"), "test": ("test", "test")}
_CHEMICAL, _GENE, _JOINT = "@CHEMICAL$", "@GENE$", "@CHEM-GENE$"
_GENES = ("GENE", "GENE-Y", "GENE-N")
_NO_RELATION = "false"
_NOTE = "built from original/ with our own sentence splitter; the benchmark's is not recorded"


@dataclasses.dataclass
class _Abstract:
    """One abstract and what is annotated in it.

    Attributes:
        text: Title and abstract, joined by a blank; offsets count its characters.
        title: Length of the title.
        chemicals: Mentions by id.
        genes: Mentions by id.
        relations: Evaluated relation groups by ids of chemical and gene.
    """

    text: str
    title: int
    chemicals: dict[str, Span] = dataclasses.field(default_factory=dict)
    genes: dict[str, Span] = dataclasses.field(default_factory=dict)
    relations: dict[tuple[str, str], set[str]] = dataclasses.field(default_factory=dict)


def prepare(folder: Path, task: Task) -> Prepared:
    """Takes a split from the benchmark's own file where that is there, else builds it from the original corpus.

    Args:
        folder: Holds ``blurb/<split>.tsv`` (or ``<split>.tsv``), and ``original/chemprot_<split>_*.tsv``.
        task: ChemProt.

    Raises:
        MissingFilesError: Where a split can be had in neither way.
    """
    splits: dict[str, list[Example]] = {}
    notes: dict[str, str] = {}
    for split in SPLITS:
        benchmark = find(folder, f"blurb/{split}.tsv", f"{split}.tsv")
        if benchmark is not None:
            splits[split] = list(_from_benchmark(benchmark, task))
        else:
            splits[split] = from_original(folder, split, task)
            notes[split] = _NOTE
    return Prepared(splits, notes)


def _from_benchmark(path: Path, task: Task) -> Iterator[TextExample]:
    for line, (name, sentence, label) in columns(path, ("id", "sentence", "label")):
        with textfiles.at(path, line):
            yield TextExample(name, sentence, _label(label, task))


def from_original(folder: Path, split: str, task: Task) -> list[Example]:
    """Every pair of a chemical and a gene that stand in one sentence, marked in it.

    The label is the pair's evaluated relation group, the highest-numbered one where it has two (so did the
    benchmark), else none. Pairs are named ``PMID.<chemical>.<gene>``.
    """
    abstracts = _read_abstracts(folder, split)
    _read_mentions(folder, split, abstracts)
    _read_relations(folder, split, abstracts)
    return [example for pmid, abstract in abstracts.items() for example in _pairs(pmid, abstract, task)]


def _pairs(pmid: str, abstract: _Abstract, task: Task) -> Iterator[TextExample]:
    for start, end in _sentence_spans(abstract.text, abstract.title):
        chemicals = _within(abstract.chemicals, start, end)
        genes = _within(abstract.genes, start, end)
        for chemical, first in chemicals.items():
            for gene, second in genes.items():
                groups = abstract.relations.get((chemical, gene), {_NO_RELATION})
                marked = mark(abstract.text[start:end], first, second, (_CHEMICAL, _GENE), _JOINT).strip()
                yield TextExample(f"{pmid}.{chemical}.{gene}", marked, _label(max(groups), task))


def _sentence_spans(text: str, title: int) -> Iterator[Span]:
    """Sentences of an abstract; the title's last one ends with the title, full stop or not."""
    for start, end in sentences.spans(text):
        if start < title + 1 < end:
            yield start, title + 1
            yield title + 1, end
        else:
            yield start, end


def _within(mentions: dict[str, Span], start: int, end: int) -> dict[str, Span]:
    """The mentions inside a sentence, as characters of it."""
    inside = {name: span for name, span in mentions.items() if start <= span[0] and span[1] <= end}
    return {name: (span[0] - start, span[1] - start) for name, span in inside.items()}


def _label(label: str, task: Task) -> int:
    return 0 if label == _NO_RELATION else jsonl.label_index(label, task)


def _file(folder: Path, split: str, what: str) -> Path:
    names = [
        f"{place}chemprot_{name}_{what}{ending}.tsv"
        for place in ("original/", "")
        for name in _ORIGINAL_SPLITS[split]
        for ending in ("", "_gs")
    ]
    found = find(folder, *names)
    if found is None:
        raise MissingFilesError(f"neither blurb/{split}.tsv nor {names[0]} is in {folder}")
    return found


def _read_abstracts(folder: Path, split: str) -> dict[str, _Abstract]:
    path = _file(folder, split, "abstracts")
    abstracts: dict[str, _Abstract] = {}
    for line, (pmid, title, text) in columns(path, ("PMID", "title", "abstract")):
        with textfiles.at(path, line):
            if pmid in abstracts:
                raise UserError(f"abstract {pmid!r} is there twice")
            abstracts[pmid] = _Abstract(f"{title} {text}", len(title))
    return abstracts


def _read_mentions(folder: Path, split: str, abstracts: dict[str, _Abstract]) -> None:
    path = _file(folder, split, "entities")
    for line, (pmid, name, kind, start, end, text) in columns(path, ("PMID", "id", "type", "start", "end", "text")):
        with textfiles.at(path, line):
            abstract = _known(pmid, abstracts)
            span = whole_number(start, "start"), whole_number(end, "end")
            if (found := abstract.text[slice(*span)]) != text:
                raise UserError(f"characters {start} to {end} of {pmid} are {found!r}; {text!r} expected")
            if kind != "CHEMICAL" and kind not in _GENES:
                raise UserError(f"type is {kind!r}; CHEMICAL, {', '.join(_GENES)} expected")
            (abstract.chemicals if kind == "CHEMICAL" else abstract.genes)[name] = span


def _read_relations(folder: Path, split: str, abstracts: dict[str, _Abstract]) -> None:
    path = _file(folder, split, "relations")
    names = ("PMID", "group", "evaluated", "relation", "Arg1:chemical", "Arg2:gene")
    for line, (pmid, group, evaluated, _, first, second) in columns(path, names):
        with textfiles.at(path, line):
            abstract = _known(pmid, abstracts)
            chemical, gene = _argument(first, "Arg1:", abstract.chemicals), _argument(second, "Arg2:", abstract.genes)
            if evaluated.strip() not in ("Y", "N"):
                raise UserError(f"the third field is {evaluated!r}; Y (evaluated) or N expected")
            if evaluated.strip() == "Y":
                abstract.relations.setdefault((chemical, gene), set()).add(group)


def _known(pmid: str, abstracts: dict[str, _Abstract]) -> _Abstract:
    if pmid not in abstracts:
        raise UserError(f"abstract {pmid!r} is not in the abstracts' file")
    return abstracts[pmid]


def _argument(field: str, prefix: str, mentions: dict[str, Span]) -> str:
    name = field.removeprefix(prefix)
    if not field.startswith(prefix) or name not in mentions:
        raise UserError(f"{field!r} names no mention; {prefix} and the id of one of the abstract's mentions expected")
    return name
