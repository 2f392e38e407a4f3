"""Expected calibration error (DoKTra, appendix A)."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data import tasks
from trainables.training import encoding, evaluation, metrics
from trainables.training.encoding import Split


def _by_loop(confidence: list[float], correct: list[bool], bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            (sure, right)
            for sure, right in zip(confidence, correct, strict=True)
            if low < sure <= high or (number == 0 and sure == 0)
        ]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            mean = sum(sure for sure, _ in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


def test_by_hand() -> None:
    confidence = numpy.array([0.95, 0.91, 0.55, 0.6])
    correct = numpy.array([True, False, True, True])
    # (0.9, 1]: 2 of 4, right in half, sure in 0.93; (0.5, 0.6]: 2 of 4, right always, sure in 0.575.
    assert metrics.expected_calibration_error(confidence, correct) == pytest.approx(0.5 * 0.43 + 0.5 * 0.425)
    # One bin: right in 3 of 4, sure in 0.7525.
    assert metrics.expected_calibration_error(confidence, correct, bins=1) == pytest.approx(0.0025)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(st.floats(0, 1), st.integers(0, 10).map(lambda n: n / 10)), st.booleans()), max_size=40
    ),
    st.integers(1, 15),
)
def test_it_is_what_an_independent_loop_finds(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = metrics.expected_calibration_error(numpy.array(confidence), numpy.array(correct, dtype=bool), bins)
    assert found == pytest.approx(_by_loop(confidence, correct, bins), abs=1e-12)
    assert 0 <= found <= 1


def test_a_classifier_that_is_as_right_as_it_is_sure_has_none() -> None:
    confidence = numpy.repeat([0.25, 0.75, 1.0], 4)
    correct = numpy.array([1, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    assert metrics.expected_calibration_error(confidence, correct) == pytest.approx(0)


def test_confidence_is_the_largest_probability() -> None:
    logits = numpy.array([[1.0, 3.0, -2.0], [800.0, -800.0, 0.0], [0.0, 0.0, 0.0]], dtype=numpy.float32)
    expected = torch.from_numpy(logits).double().softmax(-1).max(-1).values
    assert metrics.confidences(logits, multi_label=False)[:, 0] == pytest.approx(expected.numpy())


def test_with_several_labels_every_yes_or_no_is_a_decision() -> None:
    logits = numpy.array([[2.0, -3.0], [0.0, 500.0]], dtype=numpy.float32)
    yes = torch.from_numpy(logits).double().sigmoid()
    assert metrics.confidences(logits, multi_label=True) == pytest.approx(torch.maximum(yes, 1 - yes).numpy())


def _split(task: tasks.Task, gold: list[tuple[int, ...]]) -> Split:
    packed = encoding.Packed.of([[0]] * len(gold), None, 8, 0)
    return Split([str(number) for number in range(len(gold))], gold, packed, torch.tensor(gold))


def test_it_stands_beside_the_metrics_of_texts() -> None:
    gad = tasks.get("gad")
    logits = numpy.array([[0.0, 2.0], [1.0, 0.0]], dtype=numpy.float32)
    found = evaluation.score(gad, _split(gad, [(1,), (1,)]), logits)
    sure = [1 / (1 + numpy.exp(-2)), 1 / (1 + numpy.exp(-1))]
    assert found["ece"] == pytest.approx((abs(1 - sure[0]) + abs(0 - sure[1])) / 2)
    assert "auroc" not in found
    assert evaluation.score(gad, _split(gad, [(1,), (0,)]), logits)["auroc"] == 1.0
    hoc = tasks.get("hoc")
    found = evaluation.score(hoc, _split(hoc, [(1,) * 10]), numpy.full((1, 10), 4.0, dtype=numpy.float32))
    assert found["ece"] == pytest.approx(1 - 1 / (1 + numpy.exp(-4)))
    assert found["micro_f1"] == 1.0


def test_labels_of_words_and_empty_splits_have_none() -> None:
    task = tasks.get("jnlpba")
    packed = encoding.Packed.of([[0, 1]], None, 8, 0)
    words = torch.tensor([0, 1])
    split = Split(["a"], [(0, 1)], packed, torch.tensor([0, 1]), words)
    assert "ece" not in evaluation.score(task, split, numpy.zeros((2, 3), dtype=numpy.float32))
    gad = tasks.get("gad")
    assert evaluation.score(gad, _split(gad, []), numpy.zeros((0, 2), dtype=numpy.float32)) == {}
