"""The benchmark of corpora that grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import corpus_memory


def test_generated_text_is_of_the_size_asked_for_and_its_words_follow_zipf() -> None:
    lines = list(corpus_memory.generated(300_000, 50_000))
    size = sum(map(len, lines))
    assert 300_000 <= size < 303_000
    assert lines == list(corpus_memory.generated(300_000, 50_000))
    words = " ".join(lines).replace(".", "").split()
    counts = sorted((words.count(word) for word in set(words[:2_000])), reverse=True)
    assert counts[0] > 20 * counts[100]
    assert len(set(words)) > len(words) / 8


@pytest.mark.slow
def test_it_measures_both_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_memory, "SAMPLE", 100_000)
    found = corpus_memory.measure(600_000, 50, 50_000, None, tmp_path)
    assert [facts["new_pieces"] for _, _, facts in found[:1]] == [50]
    assert found[1][2]["vocabulary"] == found[0][2]["size"]
    assert all(seconds > 0 and memory > 50 for seconds, memory, _ in found)
    assert not list(tmp_path.glob("600000.txt")), "text is not left behind"
