"""A corpus as rows of word pieces: texts end to end with the separator between them, cut to the same length.

The rows are held in memory, or lie in an Arrow file (``pieces``: a list of int32 per row) that is written as they come
and read through the system's page cache, so that a corpus may be larger than memory either way.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy
import torch
from torch import Tensor

from trainables.data import stretches
from trainables.errors import UserError
from trainables.training import seeds
from trainables.training.batches import Packed
from trainables.training.tokenizers import Tokenizer

#: Share of the rows that is held out for the dev loss; at least one.
HELD_OUT = 0.02
#: Fewest rows of a corpus: one to train on, one held out.
FEWEST = 2
#: Texts, and characters of them, that go through the tokenizer together. What it returns of a text takes some hundred
#: times the text's memory.
_TEXTS_AT_ONCE, _CHARACTERS_AT_ONCE = 4_096, 1 << 18
#: Rows of a file that are written together: 4 MB at 512 pieces.
_ROWS_AT_ONCE = 2_048
#: Stretches between blanks whose pieces are remembered: about 50 MB.
_REMEMBERED = 1 << 18
_COLUMN = "pieces"

#: Rows of the same width, ``[rows, width]``, int32.
Block: TypeAlias = numpy.ndarray


@dataclasses.dataclass(frozen=True)
class Written:
    """What a file of rows holds.

    Attributes:
        rows: Sequences.
        pieces: Word pieces without the special ones around each row.
    """

    rows: int
    pieces: int


def rows(texts: Iterable[str], tokenizer: Tokenizer, max_length: int) -> Iterator[Block]:
    """The rows of a corpus as they fill up, special pieces around each; the last one may be shorter.

    Args:
        texts: The corpus.
        tokenizer: Makes pieces of it.
        max_length: Pieces per row, special ones included.

    Yields:
        ``[rows, width]``, int32; ``width`` is ``max_length`` in all but perhaps the last.
    """
    width = capacity(tokenizer, max_length)
    rest = numpy.empty(0, dtype=numpy.int32)
    for pieces in _pieces(texts, tokenizer):
        rest = numpy.concatenate([rest, pieces])
        full = len(rest) // width
        if full:
            yield _framed(rest[: full * width].reshape(full, width), tokenizer)
            rest = rest[full * width :]
    if len(rest):
        yield _framed(rest[None], tokenizer)


def capacity(tokenizer: Tokenizer, max_length: int) -> int:
    """Pieces of text per row."""
    return max_length - len(tokenizer.prefix) - len(tokenizer.suffix)


def pack(texts: Iterable[str], tokenizer: Tokenizer, max_length: int) -> Packed:
    """The rows of a corpus in memory.

    Args:
        texts: The corpus.
        tokenizer: Makes pieces of it.
        max_length: Pieces per row, special ones included.

    Raises:
        UserError: For a corpus that does not fill two rows.
    """
    blocks = list(rows(texts, tokenizer, max_length))
    lengths = torch.tensor([block.shape[1] for block in blocks for _ in block], dtype=torch.int64)
    frame = max_length - capacity(tokenizer, max_length)
    _check_filled(Written(len(lengths), int(lengths.sum()) - frame * len(lengths)), tokenizer, max_length)
    pieces = torch.from_numpy(numpy.concatenate([block.reshape(-1) for block in blocks]))
    return Packed(pieces, None, lengths.cumsum(0) - lengths, lengths, lengths, max_length, tokenizer.pad)


def write(path: Path, blocks: Iterable[Block], tokenizer: Tokenizer, max_length: int) -> Iterator[Written]:
    """Writes a file of rows as they come.

    Args:
        path: Of the file.
        blocks: From :func:`rows`.
        tokenizer: That they were made with.
        max_length: Pieces per row, special ones included.

    Yields:
        After every block what is in the file so far; after the last one it is whole.

    Raises:
        UserError: For a corpus that does not fill two rows.
    """
    import pyarrow

    known = {"max_length": str(max_length), "pad": str(tokenizer.pad)}
    schema = pyarrow.schema([pyarrow.field(_COLUMN, pyarrow.list_(pyarrow.int32()), nullable=False)], metadata=known)
    frame = max_length - capacity(tokenizer, max_length)
    done = Written(0, 0)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, schema) as stream:
        for block in _regrouped(blocks):
            count, width = block.shape
            ends = numpy.arange(0, block.size + 1, width, dtype=numpy.int32)
            lists = pyarrow.ListArray.from_arrays(pyarrow.array(ends), pyarrow.array(block.reshape(-1)))
            stream.write_batch(pyarrow.record_batch([lists], schema=schema))
            done = Written(done.rows + count, done.pieces + count * (width - frame))
            yield done
    _check_filled(done, tokenizer, max_length)


def load(path: Path, longest: int | None = None) -> Packed:
    """The rows of a file, mapped into memory; nothing is read before it is used.

    ``pieces`` is the file's whole content, of which ``starts`` and ``lengths`` name the rows, so nothing is copied. It
    stays on the CPU: :meth:`~trainables.training.batches.Packed.inputs` moves a batch. A row's start and length take
    16 bytes of memory.

    Args:
        path: Of a file that :func:`write` made.
        longest: Pieces per row that the model takes; None if any number.

    Raises:
        UserError: For rows that are longer than that.
    """
    import pyarrow

    # Copy on write: torch wants memory that may be written. Nobody does.
    mapped = numpy.memmap(path, dtype=numpy.uint8, mode="c")
    whole = pyarrow.py_buffer(mapped)
    starts, lengths = [numpy.empty(0, dtype=numpy.int64)], [numpy.empty(0, dtype=numpy.int64)]
    with pyarrow.ipc.open_file(pyarrow.BufferReader(whole)) as file:
        known: dict[bytes, bytes] = file.schema.metadata
        for number in range(file.num_record_batches):
            lists = file.get_batch(number).column(0)
            first, odd = divmod(lists.values.buffers()[1].address - whole.address, 4)
            if odd:  # Arrow aligns to 8
                raise ValueError(f"{path}: rows of record batch {number} are not aligned")
            ends = lists.offsets.to_numpy().astype(numpy.int64)
            starts.append(first + ends[:-1])
            lengths.append(numpy.diff(ends))
    limit = int(known[b"max_length"])
    if longest is not None and limit > longest:
        raise UserError(
            f"the tokenized corpus has sequences of max_length={limit}, but the model takes {longest} pieces at most; "
            f"give the TokenizedCorpus max_length={longest}"
        )
    pieces = torch.from_numpy(mapped[: len(mapped) // 4 * 4].view(numpy.int32))
    sizes = torch.from_numpy(numpy.concatenate(lengths))
    begin = torch.from_numpy(numpy.concatenate(starts))
    return Packed(pieces, None, begin, sizes, sizes, limit, int(known[b"pad"]))


def hold_out(rows: int) -> tuple[Tensor, Tensor]:
    """Numbers of the rows to train on and of those held out; the same for every seed."""
    order = torch.randperm(rows, generator=seeds.generator(0, "hold out"))
    count = max(1, round(rows * HELD_OUT))
    return order[count:].sort().values, order[:count].sort().values


def _pieces(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[numpy.ndarray]:
    """The pieces of some texts at a time, a separator after each text."""
    encode = _Encoder(tokenizer.backend)
    separator = numpy.array(tokenizer.separator, dtype=numpy.int32).tobytes()
    for some in _some(texts):
        yield numpy.frombuffer(b"".join(part for text in encode(some) for part in (*text, separator)), numpy.int32)


class _Encoder:
    """Piece numbers as bytes of int32, remembered for what occurred lately where the tokenizer allows it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._alone = stretches.stand_alone(backend)
        self._known: dict[str, bytes] = {}

    def __call__(self, texts: list[str]) -> Iterator[list[bytes]]:
        """The parts of every text, in order."""
        if not self._alone:
            yield from ([part] for part in self._encoded(texts))
            return
        cut = [text.split(stretches.BLANK) for text in texts]
        if len(self._known) > _REMEMBERED:
            self._known = {}
        new = list(dict.fromkeys(part for parts in cut for part in parts if part not in self._known))
        self._known.update(zip(new, self._encoded(new), strict=True))
        yield from ([self._known[part] for part in parts] for parts in cut)

    def _encoded(self, texts: list[str]) -> Iterator[bytes]:
        for encoding in self._backend.encode_batch(texts, add_special_tokens=False):
            yield numpy.array(encoding.ids, dtype=numpy.int32).tobytes()


def _some(texts: Iterable[str]) -> Iterator[list[str]]:
    found: list[str] = []
    size = 0
    for text in texts:
        found.append(text)
        size += len(text)
        if len(found) == _TEXTS_AT_ONCE or size >= _CHARACTERS_AT_ONCE:
            yield found
            found, size = [], 0
    if found:
        yield found


def _framed(full: numpy.ndarray, tokenizer: Tokenizer) -> numpy.ndarray:
    count = len(full)
    before = numpy.tile(numpy.array(tokenizer.prefix, dtype=numpy.int32), (count, 1))
    after = numpy.tile(numpy.array(tokenizer.suffix, dtype=numpy.int32), (count, 1))
    return numpy.concatenate([before, full, after], axis=1)


def _regrouped(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same rows in larger blocks; those of another width by themselves."""
    for _, same in itertools.groupby(blocks, key=lambda block: int(block.shape[1])):
        held: list[numpy.ndarray] = []
        count = 0
        for block in same:
            held.append(block)
            count += len(block)
            if count >= _ROWS_AT_ONCE:
                yield numpy.concatenate(held)
                held, count = [], 0
        if held:
            yield numpy.concatenate(held)


def _check_filled(found: Written, tokenizer: Tokenizer, max_length: int) -> None:
    if found.rows < FEWEST:
        raise UserError(
            f"the corpus has {found.pieces} word pieces; language modelling at max_length={max_length} needs "
            f"more than {capacity(tokenizer, max_length)}, so that a sequence can be held out. Give more text or a "
            "smaller max_length"
        )
