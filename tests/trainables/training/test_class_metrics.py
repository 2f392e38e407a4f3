"""Accuracy per class and AUROC, held equal to scikit-learn's and to what the words mean."""

from __future__ import annotations

import itertools

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import recall_score, roc_auc_score

from trainables.data import tasks
from trainables.errors import UserError
from trainables.training import class_metrics

EMOTION, GAD, BIOASQ, PICO = (tasks.get(name) for name in ("emotion", "gad", "bioasq", "ebm_pico"))
LOGITS = st.floats(-30, 30, width=32)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60))
def test_a_classs_accuracy_is_its_recall(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = class_metrics.class_accuracies(EMOTION, [[label] for label in gold], [[label] for label in predicted])
    assert list(found) == [label for index, label in enumerate(EMOTION.labels) if index in gold]
    expected = recall_score(gold, predicted, labels=sorted(set(gold)), average=None)
    assert list(found.values()) == pytest.approx(list(expected))
    for name, value in found.items():
        index = EMOTION.labels.index(name)
        own = [guess == index for label, guess in pairs if label == index]
        assert value == pytest.approx(sum(own) / len(own))


def test_accuracies_of_words_are_over_all_words() -> None:
    found = class_metrics.class_accuracies(PICO, [[0, 1, 1], [2]], [[0, 1, 0], [1]])
    assert found == {"O": 1.0, "B-PAR": 0.5, "B-INT": 0.0}  # no word is of B-OUT


def test_a_class_without_examples_has_no_accuracy_and_lengths_must_agree() -> None:
    assert class_metrics.class_accuracies(EMOTION, [], []) == {}
    assert class_metrics.class_accuracies(EMOTION, [[2], [0]], [[1], [0]]) == {"sadness": 1.0, "love": 0.0}
    with pytest.raises(ValueError, match="length"):
        class_metrics.class_accuracies(EMOTION, [[0]], [[0], [1]])
    with pytest.raises(UserError, match="'hoc' may give an example several labels"):
        class_metrics.class_accuracies(tasks.get("hoc"), [], [])


@pytest.mark.parametrize("task", [GAD, BIOASQ], ids=lambda task: task.name)
@given(st.lists(st.tuples(st.integers(0, 1), LOGITS, LOGITS), min_size=1, max_size=40))
def test_auroc_is_scikit_learns_of_the_positive_probability(
    task: tasks.Task, rows: list[tuple[int, float, float]]
) -> None:
    gold, logits = [[row[0]] for row in rows], numpy.array([row[1:] for row in rows], dtype=numpy.float32)
    found = class_metrics.auroc(task, gold, logits)
    positive = {"gad": 1, "bioasq": 0}[task.name]
    margins = logits.astype(numpy.float64)[:, positive] - logits.astype(numpy.float64)[:, 1 - positive]
    of_class = {
        is_positive: [m for m, (label,) in zip(margins, gold, strict=True) if (label == positive) == is_positive]
        for is_positive in (True, False)
    }
    if not of_class[True] or not of_class[False]:
        assert found is None
        return
    assert found == pytest.approx(roc_auc_score([label == positive for (label,) in gold], margins))
    wins = [(up > down) + (up == down) / 2 for up, down in itertools.product(of_class[True], of_class[False])]
    assert found == pytest.approx(sum(wins) / len(wins))


def test_auroc_does_not_round_confident_predictions_together() -> None:
    logits = numpy.array([[0, 50], [0, 51], [0, 52]], dtype=numpy.float32)
    assert class_metrics.auroc(GAD, [[0], [1], [1]], logits) == 1.0
    assert class_metrics.auroc(GAD, [[1], [0], [0]], logits) == 0.0


def test_the_positive_class_is_yes_or_the_one_that_counts() -> None:
    found = {
        name: tasks.get(name).labels[class_metrics.positive(tasks.get(name))] for name in class_metrics.binary_tasks()
    }
    assert found == {
        "gad": "1",
        "bioasq": "yes",
        "boolq": "yes",
        "pubmedqa_yesno": "yes",
        "euadr": "1",
        "tacred": "1",
    }
    assert class_metrics.positive(tasks.get("gad@1/5")) == 1


@pytest.mark.parametrize("name", ["pubmedqa", "hoc", "bc5chem", "emotion"])
def test_tasks_of_other_than_two_classes_have_no_auroc(name: str) -> None:
    with pytest.raises(
        UserError, match=f"task '{name}' has .* labels; AUROC is of tasks that give each text one of two"
    ):
        class_metrics.auroc(tasks.get(name), [[0]], numpy.zeros((1, 2)))


def test_lengths_of_labels_and_logits_must_agree() -> None:
    with pytest.raises(ValueError, match="length"):
        class_metrics.auroc(GAD, [[0]], numpy.zeros((2, 2)))
