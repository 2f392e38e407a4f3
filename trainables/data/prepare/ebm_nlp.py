"""EBM-NLP 2.0 as its authors give it: ``ebm_nlp_2_00.tar.gz``, words and votes in separate files."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from trainables.data import textfiles
from trainables.data.examples import Example, TokenExample
from trainables.data.tasks import Task
from trainables.errors import UserError

#: The elements and their labels. Where spans overlap (3% of words) the later one wins, as in the authors' models.
_ELEMENTS = {"participants": "PAR", "interventions": "INT", "outcomes": "OUT"}
_WORDS = re.compile(r"(?:.*/)?documents/(?P<pmid>\w+)\.tokens")
_SPANS = re.compile(
    r"(?:.*/)?annotations/aggregated/starting_spans/(?P<element>\w+)/(?:train|test/gold)/(?P<pmid>\w+)\.[\w.]*ann"
)


def read(archive: Path, task: Task) -> dict[str, list[Example]]:
    """All annotated abstracts.

    Args:
        archive: The tar file, or the folder it unpacks to.
        task: EBM PICO.

    Returns:
        Sentences by PMID, named ``<PMID>_s<n>``. The corpus marks no sentences; like the benchmark's they
        end after every word ``.``.

    Raises:
        UserError: For a damaged archive, or votes that are not one per word; naming the member.
    """
    words: dict[str, list[str]] = {}
    spans: dict[str, dict[str, tuple[str, list[str]]]] = {}
    for name, data in _files(archive):
        where = f"{archive}, member {name}"
        if document := _WORDS.fullmatch(name):
            with textfiles.at(where):
                words[document["pmid"]] = textfiles.decoded(data).split()
        elif (votes := _SPANS.fullmatch(name)) and votes["element"] in _ELEMENTS:
            with textfiles.at(where):
                values = [value for value in re.split(r"[\s,]+", textfiles.decoded(data)) if value]
            spans.setdefault(votes["pmid"], {})[votes["element"]] = (where, values)
    if not words or not spans:
        raise UserError(f"{archive}: holds no documents/*.tokens with annotations/aggregated/starting_spans")
    return {pmid: _abstract(archive, pmid, words, found, task) for pmid, found in spans.items()}


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.is_dir():
        for path in sorted(archive.rglob("*")):
            name = path.relative_to(archive).as_posix()
            if path.is_file() and (_WORDS.fullmatch(name) or _SPANS.fullmatch(name)):
                yield name, textfiles.content(path)
        return
    try:
        with tarfile.open(archive, "r:*") as opened:
            for member in opened:
                if member.isfile() and (_WORDS.fullmatch(member.name) or _SPANS.fullmatch(member.name)):
                    file = opened.extractfile(member)
                    if file is not None:
                        yield member.name, file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(f"{archive}: cannot be read as a tar archive: {error}") from error


def _abstract(
    archive: Path, pmid: str, words: dict[str, list[str]], spans: dict[str, tuple[str, list[str]]], task: Task
) -> list[Example]:
    if pmid not in words:
        raise UserError(f"{archive}: abstract {pmid} has annotations but no documents/{pmid}.tokens")
    tokens = words[pmid]
    tags = [task.labels.index("O")] * len(tokens)
    for element, label in _ELEMENTS.items():
        if element not in spans:
            raise UserError(f"{archive}: abstract {pmid} has no {element}; all of {', '.join(_ELEMENTS)} expected")
        where, values = spans[element]
        if len(values) != len(tokens):
            raise UserError(f"{where}: {len(values)} values for {len(tokens)} words; one per word expected")
        for place, value in enumerate(values):
            if not value.isdigit():
                raise UserError(f"{where}: value {place + 1} is {value!r}; a number expected (0 for no span)")
            if value != "0":
                tags[place] = task.labels.index(f"B-{label}")
    return list(_sentences(pmid, tokens, tags))


def _sentences(pmid: str, tokens: list[str], tags: list[int]) -> Iterator[TokenExample]:
    start, number = 0, 0
    for end, token in enumerate(tokens, start=1):
        if token == "." or end == len(tokens):
            yield TokenExample(f"{pmid}_s{number}", tuple(tokens[start:end]), tuple(tags[start:end]))
            start, number = end, number + 1
