"""Examples turned into packed word pieces with targets, once per (data, tokenizer, length) and process.

Token tasks: a word's label stands on its first piece. A sequence longer than the model's limit is read in
overlapping windows; each word belongs to the window that shows most context on its poorer side, and only there
is it trained on and predicted, so every word counts once however long the text is. A question that says which
words are to be marked stands before them as the first text of a pair, in every window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.data import sources
from trainables.data.examples import TextExample, TokenExample
from trainables.data.tasks import Task
from trainables.training import batches, seeds
from trainables.training.batches import Batch, Packed, size
from trainables.training.cache import BoundedCache
from trainables.training.losses import IGNORED
from trainables.training.tokenizers import Tokenizer

#: Share of a window that it has in common with the next one.
OVERLAP = 0.25
#: A split larger than this share of the device's memory stays in host memory.
_DEVICE_SHARE = 0.05
#: Of all prepared splits of a process together. The whole benchmark, tokenized once, is a quarter of this.
_CACHE_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a task, ready for a model.

    Attributes:
        ids: The examples' ids.
        gold: Labels per example: one, one per word, or 0/1 per label.
        packed: The rows; for text tasks one per example, for token tasks one per window.
        targets: Text tasks: ``[rows]`` or, with several labels, ``[rows, labels]``. Token tasks: one per piece
            ``[total]``, :data:`~trainables.training.losses.IGNORED` where a piece has no label.
        words: Token tasks: the split's word that a piece stands for ``[total]``, or -1. Else None.
    """

    ids: list[str]
    gold: list[tuple[int, ...]]
    packed: Packed
    targets: Tensor
    words: Tensor | None = None

    @property
    def units(self) -> int:
        """Predictions to make: words or examples."""
        return len(self.ids) if self.words is None else sum(map(len, self.gold))

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        return self.packed.size + size(self.targets, self.words)

    def plan(self) -> list[Batch]:
        """Batches of every row once, for evaluation."""
        return batches.for_evaluation(self.packed.planned, self.packed.limit)

    def targets_of(self, batch: Batch) -> Tensor:
        """A batch's targets: ``[rows]``, ``[rows, labels]`` or, for token tasks, ``[rows, width]``."""
        if self.words is None:
            return self.targets[batch.rows.to(self.targets.device)]
        positions, there = self.packed.positions(batch)
        return self.targets[positions].masked_fill(~there, IGNORED)

    def units_of(self, batch: Batch, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of what is predicted in a batch, and which of the split's units these are.

        Args:
            batch: Of this split.
            logits: A model's, ``[rows, labels]`` or, for token tasks, ``[rows, width, labels]``.

        Returns:
            Logits ``[units, labels]`` and numbers of examples or words ``[units]``, on the device of the logits.
        """
        if self.words is None:
            return logits, batch.rows.to(logits.device)
        positions, there = self.packed.positions(batch)
        words = self.words[positions].masked_fill(~there, -1).to(logits.device)
        return logits[words >= 0], words[words >= 0].long()

    def to(self, device: str) -> Split:
        """The same split on another device."""
        words = None if self.words is None else self.words.to(device)
        return dataclasses.replace(self, packed=self.packed.to(device), targets=self.targets.to(device), words=words)


_CACHE: BoundedCache[Split] = BoundedCache(_CACHE_BYTES, lambda split: split.size)


def prepared(
    source: str,
    task: Task,
    split: str,
    tokenizer: Tokenizer,
    max_length: int,
    device: str,
    types: bool = True,
    limit: int | None = None,
) -> Split:
    """A split's encoding, made once per process and kept in device memory where it fits.

    Args:
        source: See :mod:`trainables.data.sources`.
        task: The task.
        split: ``train``, ``dev`` or ``test``.
        tokenizer: Of the model.
        max_length: Word pieces per row, special ones included.
        device: Where training runs.
        types: Whether the model distinguishes token types.
        limit: Number of examples, chosen at random but alike for every seed; a larger choice contains a smaller one.

    Raises:
        UserError: As :func:`trainables.data.sources.load`.
    """
    key = (
        sources.fingerprint(source, task.name),
        task.name,
        split,
        tokenizer.content,
        max_length,
        device,
        types,
        limit,
    )

    def make() -> Split:
        examples = chosen(sources.load(source, task.name)[split], limit)
        encoded = encode(examples, task, tokenizer, max_length, types)
        return encoded.to(device) if _fits(encoded.size, device) else encoded

    return _CACHE.get(key, make)


def chosen(
    examples: Sequence[TextExample] | Sequence[TokenExample], limit: int | None
) -> Sequence[TextExample] | Sequence[TokenExample]:
    """At most ``limit`` of the examples, in their order; the choice depends on nothing but their number."""
    if limit is None or limit >= len(examples):
        return examples
    order = torch.randperm(len(examples), generator=seeds.generator(0, "train_limit"))
    return [examples[index] for index in sorted(order[:limit].tolist())]


def encode(
    examples: Sequence[TextExample] | Sequence[TokenExample],
    task: Task,
    tokenizer: Tokenizer,
    max_length: int,
    types: bool = True,
) -> Split:
    """Encodes examples of a task; see :class:`Split`."""
    if task.on_tokens:
        words = [example for example in examples if isinstance(example, TokenExample)]
        return _encode_words(words, tokenizer, max_length, types and tokenizer.types and task.asked)
    texts = [example for example in examples if isinstance(example, TextExample)]
    rows, kinds = _text_rows(texts, tokenizer, max_length)
    gold = [example.label if isinstance(example.label, tuple) else (example.label,) for example in texts]
    targets = torch.tensor(gold, dtype=torch.int64).reshape(len(texts), -1)
    return Split(
        ids=[example.id for example in texts],
        gold=gold,
        packed=Packed.of(rows, kinds if types and tokenizer.types else None, max_length, tokenizer.pad),
        targets=targets if task.multi_label else targets[:, 0] if len(texts) else targets.reshape(-1),
    )


def windows(length: int, capacity: int) -> list[tuple[int, int]]:
    """Start and end of the windows that cover a sequence, the last one full like the others.

    Args:
        length: Of the sequence, in pieces.
        capacity: Of a window, in pieces.
    """
    if length <= capacity:
        return [(0, length)]
    step = max(1, capacity - int(capacity * OVERLAP))
    starts = [*range(0, length - capacity, step), length - capacity]
    return [(start, start + capacity) for start in starts]


def owner(position: int, spans: Sequence[tuple[int, int]]) -> int:
    """The window that shows a piece with most context on its poorer side; the first of equals."""

    def context(index: int) -> int:
        start, end = spans[index]
        return min(position - start, end - 1 - position)

    return max(range(len(spans)), key=lambda index: (context(index), -index))


@dataclasses.dataclass(frozen=True)
class _Surroundings:
    """What stands around the words of an example in each of its windows.

    Attributes:
        before: Pieces before the words.
        after: Pieces after them.
        kinds: Token types of the pieces before, of a word's, and of the pieces after.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    kinds: tuple[tuple[int, ...], int, tuple[int, ...]] = ((), 0, ())


def _surroundings(examples: Sequence[TokenExample], tokenizer: Tokenizer, max_length: int) -> list[_Surroundings]:
    """Special pieces and, where there is a question, its pieces; of a long one as many as leave half a window."""
    if not any(example.question for example in examples):
        return [_Surroundings(tokenizer.prefix, tokenizer.suffix)] * len(examples)
    frame = tokenizer.frame
    room = (max_length - tokenizer.pair_overhead) // 2
    questions = [(example.question or "").split() for example in examples]
    found = []
    for encoding in tokenizer.backend.encode_batch(questions, is_pretokenized=True, add_special_tokens=False):
        asked = tuple(encoding.ids[:room])
        before = (*frame.before[1], *[frame.first] * len(asked), *frame.between[1])
        found.append(
            _Surroundings(
                (*frame.before[0], *asked, *frame.between[0]),
                frame.after[0],
                (before, frame.second, frame.after[1]),
            )
        )
    return found


def _encode_words(examples: Sequence[TokenExample], tokenizer: Tokenizer, max_length: int, types: bool) -> Split:
    rows: list[list[int]] = []
    kinds: list[list[int]] = []
    targets: list[int] = []
    words: list[int] = []
    before = 0  # words of the examples so far
    encodings = tokenizer.backend.encode_batch(
        [list(example.tokens) for example in examples], is_pretokenized=True, add_special_tokens=False
    )
    around = _surroundings(examples, tokenizer, max_length)
    for example, encoding, shell in zip(examples, encodings, around, strict=True):
        pieces, of_word = encoding.ids, encoding.word_ids
        first = [word if index == 0 or of_word[index - 1] != word else -1 for index, word in enumerate(of_word)]
        spans = windows(len(pieces), max_length - len(shell.before) - len(shell.after))
        owners = [owner(place, spans) for place in range(len(pieces))] if len(spans) > 1 else [0] * len(pieces)
        for number, (start, end) in enumerate(spans):
            own = [first[place] if owners[place] == number else -1 for place in range(start, end)]
            rows.append([*shell.before, *pieces[start:end], *shell.after])
            kinds.append([*shell.kinds[0], *[shell.kinds[1]] * (end - start), *shell.kinds[2]])
            shown = [*[-1] * len(shell.before), *own, *[-1] * len(shell.after)]
            targets.extend(example.tags[word] if word >= 0 else IGNORED for word in shown)
            words.extend(before + word if word >= 0 else -1 for word in shown)
        before += len(example.tokens)
    return Split(
        ids=[example.id for example in examples],
        gold=[example.tags for example in examples],
        packed=Packed.of(rows, kinds if types else None, max_length, tokenizer.pad),
        targets=torch.tensor(targets, dtype=torch.int16),
        words=torch.tensor(words, dtype=torch.int32),
    )


def _text_rows(
    examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Pieces and types of texts and pairs, truncated to the limit with the special pieces kept.

    Of a pair only the second text is shortened, unless the first alone leaves no room for it.
    """
    rows: list[list[int]] = [[] for _ in examples]
    types: list[list[int]] = [[] for _ in examples]
    backend = tokenizer.backend
    alone = backend.encode_batch([example.text for example in examples], add_special_tokens=False)
    room = max_length - tokenizer.pair_overhead - 1
    crowded = [example.pair is not None and len(text.ids) > room for example, text in zip(examples, alone, strict=True)]
    for strategy, group in (
        ("longest_first", [index for index, full in enumerate(crowded) if full or examples[index].pair is None]),
        ("only_second", [index for index, full in enumerate(crowded) if not full and examples[index].pair is not None]),
    ):
        backend.enable_truncation(max_length, strategy=strategy)
        texts = [
            examples[index].text if examples[index].pair is None else (examples[index].text, examples[index].pair)
            for index in group
        ]
        for index, encoding in zip(group, backend.encode_batch(texts), strict=True):
            # Where nothing stands around a text, an empty one is what ends it.
            rows[index], types[index] = encoding.ids or [tokenizer.pad], encoding.type_ids or [0]
    backend.no_truncation()
    return rows, types


def _fits(wanted: int, device: str) -> bool:
    if torch.device(device).type != "cuda":
        return True
    _, total = torch.cuda.mem_get_info(torch.device(device))
    return wanted <= _DEVICE_SHARE * total
