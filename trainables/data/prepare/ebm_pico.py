"""EBM PICO, the benchmark's form of EBM-NLP: participants, interventions and outcomes, word by word."""

from __future__ import annotations

from pathlib import Path

from trainables.data.examples import SPLITS, Example
from trainables.data.prepare import conll, ebm_nlp
from trainables.data.prepare.corpus import MissingFilesError, Prepared, chosen_by, find, listed, require, split_file
from trainables.data.tasks import Task

_ARCHIVES = ("ebm_nlp_2_00.tar.gz", "ebm_nlp_2_00.tar", "ebm_nlp_2_00")
_PARTIAL = "partial_train_iob"
#: The partial files have names of their own for the elements.
_OTHER_NAMES = {"POPU": "PAR", "INTV": "INT", "OC": "OUT"}
#: Abstracts without a PMID are told apart by this many words, lower-cased.
_OPENING = 15
_DEV_NOTE = "the benchmark's dev abstracts as distributed have more; why is not known"


def prepare(folder: Path, task: Task, *, partial: bool = False) -> Prepared:
    """Reads the benchmark's CoNLL files where they are there, and cuts the others out of EBM-NLP 2.0.

    Args:
        folder: Holds ``train.tsv``, ``dev.tsv`` and ``test.tsv``; for one that is missing, the authors' archive
            ``ebm_nlp_2_00.tar.gz`` and the benchmark's list of abstracts, ``indexing/<split>_pmid.tsv``.
        task: EBM PICO.
        partial: Whether a training split of a part of the abstracts will do (``partial_train_iob/*.iob``).

    Raises:
        MissingFilesError: Where a split can be had in none of these ways.
    """
    whole: dict[str, list[Example]] | None = None
    splits: dict[str, list[Example]] = {}
    notes = {"dev": _DEV_NOTE}
    for split in SPLITS:
        if find(folder, f"{split}.tsv", *(["devel.tsv"] if split == "dev" else [])):
            splits[split] = conll.examples(split_file(folder, split), task)
        elif archive := find(folder, *_ARCHIVES):
            pmids = require(folder, f"indexing/{split}_pmid.tsv")
            whole = whole if whole is not None else ebm_nlp.read(archive, task)
            splits[split] = [example for pmid in chosen_by(pmids, listed(pmids), whole) for example in whole[pmid]]
        elif not (split == "train" and partial):
            extra = f"; {_PARTIAL}/ is there: --partial-ebm-pico trains on that part" if find(folder, _PARTIAL) else ""
            raise MissingFilesError(
                f"{split}.tsv is missing in {folder}, and so is {_ARCHIVES[0]}, which holds it{extra}"
            )
    if "train" not in splits:
        train, note = _partial_train(folder, task)
        splits = {"train": train, **splits}
        notes["train"] = note
    return Prepared(splits, notes)


def _partial_train(folder: Path, task: Task) -> tuple[list[Example], str]:
    """The abstracts of some disease areas, without those of dev and test and without repeats."""
    seen = {_opening(document) for split in ("dev", "test") for document in _documents(split_file(folder, split))}
    examples: list[Example] = []
    abstracts = 0
    for path in sorted(require(folder, _PARTIAL).glob("*.iob")):
        for number, document in enumerate(_documents(path)):
            if (opening := _opening(document)) in seen:
                continue
            seen.add(opening)
            abstracts += 1
            for place, sentence in enumerate(document):
                renamed = tuple(_renamed(tag) for tag in sentence.tags)
                examples.append(
                    conll.example(
                        conll.Sentence(sentence.document, None, sentence.words, renamed, sentence.line),
                        f"{path.stem}-{number}_s{place}",
                        task,
                        path,
                    )
                )
    if not examples:
        raise MissingFilesError(f"{folder / _PARTIAL} holds no *.iob file with abstracts of the training side")
    return examples, f"partial: {abstracts} of the benchmark's 3842 training abstracts"


def _documents(path: Path) -> list[list[conll.Sentence]]:
    documents: dict[int, list[conll.Sentence]] = {}
    for sentence in conll.sentences(path):
        documents.setdefault(sentence.document, []).append(sentence)
    return list(documents.values())


def _opening(document: list[conll.Sentence]) -> tuple[str, ...]:
    words = [word.lower() for sentence in document for word in sentence.words]
    return tuple(words[:_OPENING])


def _renamed(tag: str) -> str:
    prefix, dash, name = tag.partition("-")
    return f"{prefix}{dash}{_OTHER_NAMES.get(name, name)}"
