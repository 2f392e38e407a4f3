"""What an expanded vocabulary and a tokenized corpus take, in time and memory, of corpora of growing size.

    python -m benchmarks.corpus_memory [--sizes 50,200] [--new 5000] [--words 400000] [--base FOLDER] [--folder DIR]

The text is generated: syllables make words, of which few are frequent and most are rare, as in Zipf's law. Each stage
runs in a process of its own, whose peak of resident memory counts. That of the last size must not exceed that of the
first by more than a quarter.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy

from orchestrator.engine.store import Store
from trainables.execution import Execution, Job
from trainables.expression import Stage, from_json
from trainables.stages import Pretrained, RandomInit, TokenizedCorpus, WordPieceVocabulary
from trainables.training import tokenizers

LIMIT = 1.25
TOLD = ("new_pieces", "ratio", "words_left_out", "tokens")
MEGABYTE = 1 << 20
#: Of Zipf's law.
EXPONENT = 1.1
#: What the base's vocabulary is trained on, where no base is given.
SAMPLE = 2 * MEGABYTE


def generated(size: int, different: int, seed: int = 0) -> Iterator[str]:
    """Lines of 200 words, of so many bytes together, in a language of so many different words."""
    chance = numpy.random.default_rng(seed)
    syllables = numpy.array([f"{first}{last}" for first in "bcdfghklmnprstvz" for last in ("a", "e", "in", "or", "us")])
    ends = numpy.cumsum(chance.integers(1, 6, different)).tolist()
    drawn = chance.choice(syllables, ends[-1]).tolist()
    words = ["".join(drawn[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    weights = 1 / numpy.arange(1, different + 1) ** EXPONENT
    steps = numpy.cumsum(weights / weights.sum())
    done = 0
    while done < size:
        for row in numpy.searchsorted(steps, chance.random((500, 200))).clip(max=different - 1):
            line = " ".join(words[number] for number in row) + ".\n"
            done += len(line)
            yield line
            if done >= size:
                return


def write(path: Path, size: int, different: int) -> Path:
    """A file of generated text."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(generated(size, different))
    return path


def peak() -> float:
    """Megabytes of resident memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def imports() -> tuple[float, float, dict[str, Any]]:
    """What a process takes that only loads the libraries."""
    started = time.perf_counter()
    import pyarrow
    import torch
    import transformers

    transformers.AutoTokenizer  # noqa: B018 (loads it)
    gc.collect()
    return time.perf_counter() - started, peak(), {"pyarrow": pyarrow.__version__, "torch": torch.__version__}


def run(form: dict[str, Any], location: str) -> tuple[float, float, dict[str, Any]]:
    """Runs a stage; seconds, peak and facts."""
    stage = from_json(form)
    started = time.perf_counter()
    execution = Execution(Job.of(stage), Store(location))
    while execution.advance(60) is not None:
        pass
    if execution.result is None:
        raise SystemExit(f"{stage.label()} did not finish")
    return time.perf_counter() - started, peak(), execution.result["facts"]


def alone(work: Callable[..., tuple[float, float, dict[str, Any]]], *given: Any) -> tuple[float, float, dict[str, Any]]:
    """Calls a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def measure(
    size: int, new: int, different: int, given: Pretrained | None, folder: Path
) -> list[tuple[float, float, dict[str, Any]]]:
    """The vocabulary and the tokenized corpus of so many bytes of generated text.

    Args:
        size: Bytes of text.
        new: Pieces to add.
        different: Different words of the language.
        given: Whose vocabulary is expanded; None trains one of 20,000 pieces on a sample.
        folder: For text and results.
    """
    corpus = write(folder / f"{size}.txt", size, different)
    location = str(folder / f"store{size}")
    base: Stage
    if given is None:
        sample = write(folder / "sample.txt", SAMPLE, different)
        base = RandomInit(str(sample), 20_000, hidden_size=16, layers=1, heads=1, intermediate_size=16)
        old = alone(run, base.to_json(), location)[2]["vocabulary"]
    else:
        base, old = given, len(tokenizers.load(Path(given.name)).pieces)
    vocabulary = WordPieceVocabulary(str(corpus), base, old + new)
    pieces = TokenizedCorpus(str(corpus), vocabulary, 512)
    found = [alone(run, stage.to_json(), location) for stage in (vocabulary, pieces)]
    corpus.unlink()
    return found


def main() -> int:
    """Measures and prints; exit code 1 where memory grows with the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="50,200", help="megabytes of text, ascending")
    parser.add_argument("--new", type=int, default=5_000, help="pieces to add to the base's vocabulary")
    parser.add_argument("--words", type=int, default=400_000, help="different words of the generated language")
    parser.add_argument("--base", help="folder of a model with a word-piece tokenizer")
    parser.add_argument("--folder", help="where to write; a temporary one otherwise")
    given = parser.parse_args()
    base = Pretrained(given.base) if given.base else None
    seconds, least, _ = alone(imports)
    print(f"libraries alone              {seconds:7.1f} s  {least:7.0f} MB", flush=True)
    peaks: list[list[float]] = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for megabytes in map(int, given.sizes.split(",")):
            found = measure(megabytes * MEGABYTE, given.new, given.words, base, Path(folder))
            peaks.append([memory for _, memory, _ in found])
            for what, (taken, memory, facts) in zip(("vocabulary", "tokenized"), found, strict=True):
                print(f"{what:11} {megabytes:6} MB of text {taken:7.1f} s  {memory:7.0f} MB", flush=True)
                print("    " + ", ".join(f"{name} {facts[name]:,.4g}" for name in TOLD if name in facts), flush=True)
    growth = [last / first for first, last in zip(peaks[0], peaks[-1], strict=True)]
    print(f"growth of the peaks  {', '.join(f'{ratio:.2f}' for ratio in growth)}  (limit {LIMIT})")
    return 0 if max(growth) <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
