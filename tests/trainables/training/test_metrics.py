from __future__ import annotations

import warnings
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from trainables.data import tasks
from trainables.training import metrics


def _pairs(labels: int, length: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[list[int], list[int]]]:
    one = st.integers(0, labels - 1)
    return length.flatmap(
        lambda count: st.tuples(
            st.lists(one, min_size=count, max_size=count), st.lists(one, min_size=count, max_size=count)
        )
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(_pairs(3, st.integers(0, 12)), min_size=1, max_size=8))
def test_entity_scores_are_seqevals(sequences: list[tuple[list[int], list[int]]]) -> None:
    task = tasks.get("ncbi_disease")
    gold, predicted = [pair[0] for pair in sequences], [pair[1] for pair in sequences]
    found = metrics.score(task, gold, predicted)

    def named(rows: list[list[int]]) -> list[list[str]]:
        return [[("O", "B-X", "I-X")[label] for label in row] for row in rows]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of undefined precision; the value is 0
        assert found["f1"] == pytest.approx(entity_f1(named(gold), named(predicted), zero_division=0))
        assert found["precision"] == pytest.approx(entity_precision(named(gold), named(predicted), zero_division=0))
        assert found["recall"] == pytest.approx(entity_recall(named(gold), named(predicted), zero_division=0))


def test_entities_by_hand() -> None:
    task = tasks.get("bc2gm")
    outside, begin, inside = 0, 1, 2
    gold = [[begin, inside, outside, begin], [inside, outside], [begin, begin]]
    predicted = [[begin, inside, outside, begin], [begin, outside], [begin, inside]]
    # Right: both of the first; the second's (an I after O begins an entity); of the third none of 1 predicted, 2 true.
    assert metrics.entity_counts(task.labels, gold, predicted) == (3, 4, 5)
    assert metrics.score(task, gold, predicted)["f1"] == pytest.approx(2 * 3 / (4 + 5))


def test_an_entity_ends_with_its_sequence() -> None:
    task = tasks.get("bc2gm")
    assert metrics.entity_counts(
        task.labels,
        [[1], [2]],
        [
            [
                1,
            ],
            [2],
        ],
    ) == (2, 2, 2)


@pytest.mark.parametrize("name", ["chemprot", "ddi", "gad"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_relation_scores_are_scikit_learns_without_the_negative_class(name: str, data: st.DataObject) -> None:
    task = tasks.get(name)
    gold, predicted = data.draw(_pairs(len(task.labels), st.integers(1, 40)))
    found = metrics.score(task, [[label] for label in gold], [[label] for label in predicted])
    positive = list(range(1, len(task.labels)))
    options: dict[str, Any] = {"labels": positive, "average": "micro", "zero_division": 0}
    assert found["micro_f1"] == pytest.approx(f1_score(gold, predicted, **options))
    assert found["precision"] == pytest.approx(precision_score(gold, predicted, **options))
    assert found["recall"] == pytest.approx(recall_score(gold, predicted, **options))


def test_binary_relations_score_the_positive_class() -> None:
    found = metrics.score(tasks.get("gad"), [[1], [1], [0], [0]], [[1], [0], [1], [0]])
    assert found == {"micro_f1": 0.5, "precision": 0.5, "recall": 0.5}


@settings(max_examples=60, deadline=None)
@given(st.lists(_pairs(4, st.integers(1, 15)), min_size=1, max_size=6))
def test_pico_is_the_mean_over_the_three_types_of_the_f1_per_word(sequences: list[tuple[list[int], list[int]]]) -> None:
    gold, predicted = [pair[0] for pair in sequences], [pair[1] for pair in sequences]
    found = metrics.score(tasks.get("ebm_pico"), gold, predicted)
    flat_gold, flat_predicted = list(chain(*gold)), list(chain(*predicted))
    by_type = [
        f1_score([x == label for x in flat_gold], [x == label for x in flat_predicted], zero_division=0)
        for label in (1, 2, 3)
    ]
    assert found["macro_f1"] == pytest.approx(sum(by_type) / 3)


def test_pico_by_hand() -> None:
    found = metrics.score(tasks.get("ebm_pico"), [[1, 1, 0, 2]], [[1, 0, 0, 2]])
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(_pairs(2, st.just(10)), min_size=1, max_size=12))
def test_hallmarks_are_counted_over_all_labels_of_all_abstracts(rows: list[tuple[list[int], list[int]]]) -> None:
    gold, predicted = [pair[0] for pair in rows], [pair[1] for pair in rows]
    right = sum(g and p for one, other in rows for g, p in zip(one, other, strict=True))
    both = sum(map(sum, gold)) + sum(map(sum, predicted))
    expected = 2 * right / both if both else 0.0
    assert metrics.score(tasks.get("hoc"), gold, predicted)["micro_f1"] == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(_pairs(3, st.integers(1, 40)))
def test_accuracy_is_scikit_learns(pair: tuple[list[int], list[int]]) -> None:
    gold, predicted = pair
    found = metrics.score(tasks.get("pubmedqa"), [[x] for x in gold], [[x] for x in predicted])
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, predicted))
    assert found["macro_f1"] == pytest.approx(
        f1_score(gold, predicted, labels=[0, 1, 2], average="macro", zero_division=0)
    )


@pytest.mark.parametrize("name", list(tasks.TASKS))
def test_nothing_found_and_nothing_to_find_is_zero(name: str) -> None:
    task = tasks.get(name)
    empty = [[0] * (len(task.labels) if task.multi_label else 1)]
    found = metrics.score(task, empty, empty)
    every_label_counts = task.metric == "accuracy" or task.kind == "sentiment"
    assert found[task.metric] == (1.0 if every_label_counts else 0.0)


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        metrics.score(tasks.get("jnlpba"), [[0, 1]], [[0]])
