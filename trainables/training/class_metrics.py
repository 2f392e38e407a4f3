"""Measures beside a task's own metric, as fractions: the accuracy of each class, and the area under the ROC curve.

Neither is of a class that has no example: such a value is left out, since no number would be a measurement.

No torch here. What the multi-teacher paper calls the accuracy of a class is its recall: the share of the examples of a
class that are predicted as such. The transfer-data paper scores tasks of two classes by AUROC.
"""

from __future__ import annotations

import numpy

from trainables.data.tasks import TASKS, Task
from trainables.errors import UserError, did_you_mean
from trainables.training.metrics import Labels


def class_accuracies(task: Task, gold: Labels, predicted: Labels) -> dict[str, float]:
    """The recall of each class, by label.

    Args:
        task: That gives every example, or every word, one label.
        gold: True labels per example, as in ``predictions.parquet``.
        predicted: The same for the predictions.

    Returns:
        One value per label that an example has, in the task's order.

    Raises:
        UserError: For a task whose examples may have several labels.
        ValueError: Where both do not have the same lengths.
    """
    from sklearn.metrics import recall_score

    if task.multi_label:
        raise UserError(f"task {task.name!r} may give an example several labels; it has no accuracy per class")
    if [len(labels) for labels in gold] != [len(labels) for labels in predicted]:
        raise ValueError("gold and predicted labels differ in length")
    if not len(gold):
        return {}
    true, guessed = (numpy.concatenate([numpy.asarray(row) for row in rows]) for rows in (gold, predicted))
    present = [int(index) for index in numpy.unique(true)]
    recalls = recall_score(true, guessed, labels=present, average=None) if present else []
    return {task.labels[index]: float(value) for index, value in zip(present, recalls, strict=True)}


def positive(task: Task) -> int:
    """The class whose probability a task of two classes is ranked by: ``yes``, or the label that is not negative.

    Raises:
        UserError: For a task that does not give each text one of two labels.
    """
    if len(task.labels) != 2 or task.on_tokens or task.multi_label:
        raise UserError(
            f"task {task.name!r} has {len(task.labels)} labels; AUROC is of tasks that give each text one of two"
            f"{did_you_mean('', binary_tasks())}"
        )
    return next(index for index, label in enumerate(task.labels) if label != task.negative)


def binary_tasks() -> list[str]:
    """The tasks that :func:`auroc` can score."""
    return [task.name for task in TASKS.values() if len(task.labels) == 2 and not (task.on_tokens or task.multi_label)]


def auroc(task: Task, gold: Labels, logits: numpy.ndarray) -> float | None:
    """The area under the ROC curve: how often a positive example is ranked above a negative one.

    Args:
        task: Of two classes.
        gold: True labels per example.
        logits: ``[examples, 2]``.

    Returns:
        A fraction; ties count half. None where one of the classes is not there: there is nothing to rank.

    Raises:
        UserError: For a task of other than two classes.
        ValueError: Where both do not have the same lengths.
    """
    from sklearn.metrics import roc_auc_score

    chosen = positive(task)
    if len(gold) != len(logits):
        raise ValueError("gold labels and logits differ in length")
    true = numpy.array([int(row[0]) == chosen for row in gold], dtype=bool)
    if true.all() or not true.any():
        return None
    wide = logits.astype(numpy.float64)  # the difference orders as the probability does, without rounding to 1
    return float(roc_auc_score(true, wide[:, chosen] - wide[:, 1 - chosen]))
