from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from orchestrator.leaderboard import statistics
from trainables.data import tasks
from trainables.errors import UserError
from trainables.training import metrics


def predictions(gold: list[list[int]], guess: list[list[int]], split: str = "test") -> pa.Table:
    ids = [f"example {place:05}" for place in range(len(gold))]
    return pa.table(
        {
            "id": ids,
            "split": [split] * len(ids),
            "gold": pa.array(gold, pa.list_(pa.int16())),
            "prediction": pa.array(guess, pa.list_(pa.int16())),
        }
    )


@st.composite
def labelled(draw, name: str):
    task = tasks.get(name)
    width = len(task.labels)
    if task.on_tokens:
        lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=15))
    else:
        lengths = [width if task.multi_label else 1] * draw(st.integers(1, 30))
    tag = st.integers(0, 1 if task.multi_label else width - 1)
    gold = [draw(st.lists(tag, min_size=length, max_size=length)) for length in lengths]
    guess = [draw(st.lists(tag, min_size=length, max_size=length)) for length in lengths]
    return gold, guess


@pytest.mark.parametrize("name", ["ncbi_disease", "ebm_pico", "ddi", "gad", "gad@3/10", "pubmedqa", "hoc", "fpb"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_summed_counts_give_the_metric_that_training_reports(name, data):
    task = tasks.get(name)
    gold, guess = data.draw(labelled(name))
    counts = statistics.counts(predictions(gold, guess), task)
    assert counts.shape[0] == len(gold)
    expected = metrics.score(task, gold, guess)[task.metric]
    assert statistics.score(counts.sum(axis=0), task.metric) == pytest.approx(expected)


def test_entities_are_counted_in_the_example_they_stand_in():
    task = tasks.get("bc2gm")  # O, B, I
    counts = statistics.counts(predictions([[1, 2], [2, 0], [0]], [[1, 2], [0, 2], [1]]), task)
    # An I at the start of an example begins an entity there, it does not continue the one before.
    assert counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0]]


def test_entities_of_different_types_are_told_apart():
    tags = np.array([1, 2, 4, 3])  # B-x I-x I-y B-y
    entities = statistics._entities(tags, np.zeros(4, dtype=int), ("O", "B-x", "I-x", "B-y", "I-y"))
    assert len(entities) == 3


def test_counts_take_one_split_and_sort_by_id():
    task = tasks.get("gad")
    both = pa.concat_tables([predictions([[1], [0]], [[1], [1]]), predictions([[1]], [[0]], "dev")])
    turned = both.take([2, 1, 0])
    assert statistics.counts(turned, task).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert statistics.counts(turned, task, "dev").tolist() == [[0, 0, 1]]


def accuracy_counts(right: np.ndarray) -> np.ndarray:
    return np.stack([right, np.ones_like(right)], axis=1).astype(np.int64)


def test_bootstrap_agrees_with_scipy():
    generator = np.random.default_rng(1)
    first, second = generator.random(150) < 0.6, generator.random(150) < 0.75
    (ours,) = statistics.paired_bootstrap([accuracy_counts(first)], [[accuracy_counts(second)]], "accuracy")
    theirs = bootstrap(
        (100.0 * (second.astype(float) - first),), np.mean, n_resamples=10_000, method="percentile", rng=generator
    )
    assert ours.estimate == pytest.approx(100 * (second.mean() - first.mean()))
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.7)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.7)


def test_bootstrap_of_two_examples_is_the_exact_distribution():
    # Drawn: both the first (1/4), both the second (1/4), one of each (1/2); differences +100, 0 and +50.
    baseline, other = accuracy_counts(np.array([0, 1])), accuracy_counts(np.array([1, 1]))
    (found,) = statistics.paired_bootstrap([baseline], [[other]], "accuracy", resamples=20_000)
    assert (found.estimate, found.low, found.high) == (50.0, 0.0, 100.0)
    assert found.p == pytest.approx(2 * 0.25, abs=0.02)


def test_seeds_count_as_a_sample_too():
    # On the same one-sided examples, runs that disagree leave more doubt than runs that agree.
    right, wrong = accuracy_counts(np.ones(50)), accuracy_counts(np.zeros(50))
    (sure, unsure) = statistics.paired_bootstrap([wrong, wrong], [[right, right], [right, wrong]], "accuracy")
    assert (sure.estimate, unsure.estimate) == (100.0, 50.0)
    assert sure.p == pytest.approx(2 / 10_001)
    assert unsure.p == pytest.approx(2 * 0.25, abs=0.03)  # both draws hit the wrong run


def test_a_comparison_does_not_depend_on_what_else_is_compared():
    generator = np.random.default_rng(2)
    runs = [accuracy_counts(generator.random(60) < share) for share in (0.5, 0.6, 0.7)]
    alone = statistics.paired_bootstrap(runs[:1], [runs[2:]], "accuracy", 500)
    together = statistics.paired_bootstrap(runs[:1], [runs[1:2], runs[2:]], "accuracy", 500)
    assert alone[0] == together[1]


def test_no_difference_has_p_one():
    same = accuracy_counts(np.arange(40) % 2)
    (found,) = statistics.paired_bootstrap([same], [[same]], "accuracy", 200)
    assert (found.estimate, found.p) == (0.0, 1.0)


def test_runs_on_different_examples_are_refused():
    with pytest.raises(UserError, match=r"\[40, 41\]"):
        statistics.paired_bootstrap(
            [accuracy_counts(np.ones(40))], [[accuracy_counts(np.ones(41))]], "accuracy", resamples=10
        )


def test_false_discovery_by_hand():
    # Benjamini and Hochberg: p(i) * n / i, made monotone from the largest down.
    assert statistics.false_discovery([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert statistics.false_discovery([]) == []


def test_spread_of_one_run_is_unknown():
    assert statistics.spread([3.0]) is None
    assert statistics.spread([1.0, 3.0]) == pytest.approx(2**0.5)
