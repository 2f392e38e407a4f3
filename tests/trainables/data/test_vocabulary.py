from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.data import miniature, vocabulary
from trainables.errors import UserError

_IN_A_PROCESS = """
import hashlib, sys
from trainables.data import miniature
from trainables.data import vocabulary
print(hashlib.sha256(repr(vocabulary.train(miniature.corpus("domain"), 900)).encode()).hexdigest())
"""


def test_two_processes_train_the_same_vocabulary() -> None:
    root = Path(__file__).parents[3]
    found = set()
    for seed, parallel in (("1", "true"), ("2", "false"), ("3", "true")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": parallel}
        command = [sys.executable, "-c", _IN_A_PROCESS]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())
    here = vocabulary.train(miniature.corpus("domain"), 900)
    assert found == {hashlib.sha256(repr(here).encode()).hexdigest()}


def test_a_vocabulary_holds_the_frequent_words_and_every_character() -> None:
    pieces = vocabulary.train(["the lung the lungs the Lung", "a lung"] * 3, 40)
    assert pieces[:5] == list(vocabulary.SPECIAL)
    assert {"the", "lung", "a", "t", "##h", "##s"} <= set(pieces)
    assert len(pieces) == len(set(pieces)) <= 40


def test_impossible_vocabularies_are_refused() -> None:
    with pytest.raises(UserError, match="no words"):
        vocabulary.train(["  ", ""], 100)
    with pytest.raises(UserError, match=r"vocabulary_size=8 .* at least 12"):
        vocabulary.train(["abcd"], 8)
