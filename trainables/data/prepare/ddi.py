"""DDIExtraction 2013: drug-drug interactions as XML, one document per file."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare.corpus import MissingFilesError, Prepared, chosen_by, listed, require
from trainables.data.prepare.markers import Span, mark
from trainables.data.tasks import Task
from trainables.errors import UserError

#: The drug-name task's test documents have names only; they are no part of the relation task.
_OTHER_TASK = "DrugNER"
_OFFSETS = re.compile(r"\d+-\d+(;\d+-\d+)*")
_UNTYPED = "int"  # a pair marked true without a type is a plain interaction


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads the corpus (a zip, or its unpacked folder) and splits it by the lists in ``indexing/``.

    Both drugs of a pair become ``@DRUG$``; where they overlap, both together ``@DRUG-DRUG$``. A mention in
    several parts counts from its first character to its last.
    """
    documents: dict[str, tuple[str, bytes]] = {}
    for name, data in _documents(folder):
        other, _ = documents.setdefault(PurePosixPath(name).name, (name, data))
        if other != name:
            raise UserError(f"{name}: the same file name as {other}; names must be unique, the lists go by them")
    splits: dict[str, list[Example]] = {}
    for split in SPLITS:
        path = require(folder, f"indexing/{split}_files.tsv", f"indexing/DDI/{split}_files.tsv")
        # The base name is what matters: the folders in the lists are of another distribution.
        names = chosen_by(path, [PurePosixPath(name).name for name in listed(path)], documents)
        splits[split] = [example for name in names for example in _examples(*documents[name], task)]
    return Prepared(splits)


def _documents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name (for errors) and content of every XML document of the relation task."""
    archives = sorted(folder.glob("*.zip"))
    if archives:
        yield from _members(archives[0])
        return
    unpacked = sorted(path for path in folder.rglob("*.xml") if not any(_OTHER_TASK in part for part in path.parts))
    if not unpacked:
        raise MissingFilesError(f"{folder} holds neither a zip of the DDI corpus nor its XML files")
    for path in unpacked:
        yield str(path), textfiles.content(path)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in sorted(opened.namelist()):
                if name.endswith(".xml") and _OTHER_TASK not in name and not PurePosixPath(name).name.startswith("."):
                    yield f"{archive}, member {name}", opened.read(name)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{archive}: cannot be read as a zip archive: {error}") from error


def _examples(where: str, data: bytes, task: Task) -> Iterator[TextExample]:
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        line, column = error.position
        raise UserError(f"{where}, line {line}: not XML at column {column + 1} ({error})") from None
    for number, sentence in enumerate(root.iter("sentence"), start=1):
        pairs = list(sentence.iter("pair"))
        if not pairs:  # some of these have no text either
            continue
        with textfiles.at(f"{where}, sentence {number}"):
            # The XML's line ends stand for characters that offsets count; the benchmark has blanks there.
            text = re.sub(r"[\r\n]", " ", _attribute(sentence, "text"))
            mentions = {_attribute(entity, "id"): _span(entity, text) for entity in sentence.iter("entity")}
        for pair in pairs:
            with textfiles.at(f"{where}, sentence {number}, pair {pair.get('id')}"):
                yield _example(pair, text, mentions, task)


def _example(pair: ElementTree.Element, text: str, mentions: dict[str, Span], task: Task) -> TextExample:
    first, second = _attribute(pair, "e1"), _attribute(pair, "e2")
    for name in (first, second):
        if name not in mentions:
            raise UserError(f"entity {name!r} is not in its sentence")
    related = _attribute(pair, "ddi")
    if related not in ("true", "false"):
        raise UserError(f"'ddi' is {related!r}; true or false expected")
    label = f"DDI-{pair.get('type') or _UNTYPED}" if related == "true" else task.labels[0]
    marked = mark(text, mentions[first], mentions[second], ("@DRUG$", "@DRUG$"), "@DRUG-DRUG$")
    return TextExample(_attribute(pair, "id"), marked, jsonl.label_index(label, task))


def _span(entity: ElementTree.Element, text: str) -> Span:
    """From the first to the last character; the corpus's offsets include their ends."""
    offsets = _attribute(entity, "charOffset")
    if not _OFFSETS.fullmatch(offsets):
        raise UserError(f"'charOffset' is {offsets!r}; start-end or start-end;start-end expected")
    numbers = [int(number) for number in re.split("[-;]", offsets)]
    start, end = min(numbers), max(numbers) + 1
    if end > len(text):
        raise UserError(f"'charOffset' {offsets!r} ends behind the sentence's {len(text)} characters")
    return start, end


def _attribute(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise UserError(f"<{element.tag}> has no attribute {name!r}")
    return value
