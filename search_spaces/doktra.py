"""DoKTra's hyperparameters, the spaces in which they are searched, and what the paper chose.

The sets are those of the paper's section 4.2, the order of the phases that of its appendix A.1, the picks those of its
Tables A1 to A6.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from search_spaces import files
from search_spaces.parameters import Number, Parameter, by_name, parse
from search_spaces.space import Choices, Range, Space
from trainables.errors import UserError, did_you_mean

#: Between a task and its fold, as in ``gad@10``; a fold has the settings of its task.
_FOLD = "@"


def _epochs(name: str, meaning: str, source: str) -> Parameter:
    return Parameter(name, int, low=1, meaning=meaning, source=source)


def _learning_rate(name: str, meaning: str, source: str) -> Parameter:
    return Parameter(name, float, low=0, low_open=True, meaning=meaning, source=source)


def _penalty(name: str, meaning: str, source: str) -> Parameter:
    return Parameter(name, float, low=0, meaning=meaning, source=source)


PARAMETERS: Mapping[str, Parameter] = by_name(
    (
        _epochs("teacher_epochs", "epochs of the calibrated teacher", "section 4.2: 3-10"),
        _learning_rate("teacher_learning_rate", "learning rate of the calibrated teacher", "section 4.2: 2e-5"),
        _penalty("beta1", "confidence penalty of the teacher", "equation 2; section 4.2"),
        _epochs("student_epochs", "epochs of the student's own fine-tuning", "section 4.2: 5-10; e1 in Table A2"),
        _learning_rate("student_learning_rate", "learning rate of the student's own fine-tuning", "lr1 in Table A2"),
        _epochs("epochs", "epochs of distillation and refinement together", "section 4.2: 10; e2 in Table A2"),
        _learning_rate("learning_rate", "learning rate of distillation and refinement", "lr2 in Table A2"),
        _penalty("beta2", "confidence penalty of refinement", "equation 2; section 4.2"),
        Parameter("gamma", float, low=0, high=1, meaning="share of epochs that distil", source="Algorithm 1"),
    )
)

#: What each phase of a staged search chooses, in the paper's order (appendix A.1).
PHASES: Mapping[str, tuple[str, ...]] = {
    "teacher": ("teacher_epochs", "teacher_learning_rate", "beta1"),
    "student": ("student_epochs", "student_learning_rate"),
    "distillation": ("epochs", "learning_rate", "beta2", "gamma"),
}

_PENALTIES = Choices((0.0, 0.3, 0.5, 0.7))
_SWITCH_RATES = Choices((0.6, 0.7, 0.8, 0.9))
_LEARNING_RATES = Choices((6e-6, 8e-6, 1e-5))
_WIDE_LEARNING_RATES = Range(2e-6, 1e-4, log=True)
_MINI_LEARNING_RATES = Choices((1e-3, 2e-3, 4e-3))

#: The paper's own. It prints its epochs as ranges, 3-10 for the teacher and 5-10 for the student; the sets here are
#: the values of those ranges that its tables hold.
PAPER = Space(
    "paper",
    {
        "teacher_epochs": Choices((3, 5, 10)),
        "teacher_learning_rate": Choices((2e-5,)),
        "beta1": _PENALTIES,
        "student_epochs": Choices((5, 10)),
        "student_learning_rate": _LEARNING_RATES,
        "epochs": Choices((10,)),
        "learning_rate": _LEARNING_RATES,
        "beta2": _PENALTIES,
        "gamma": _SWITCH_RATES,
    },
    PARAMETERS,
)

#: Continuous, around the paper's; every pick of the paper lies in it.
WIDE = Space(
    "wide",
    {
        "teacher_epochs": Range(2, 12, integer=True),
        "teacher_learning_rate": _WIDE_LEARNING_RATES,
        "beta1": Range(0.0, 1.0),
        "student_epochs": Range(2, 12, integer=True),
        "student_learning_rate": _WIDE_LEARNING_RATES,
        "epochs": Range(5, 20, integer=True),
        "learning_rate": _WIDE_LEARNING_RATES,
        "beta2": Range(0.0, 1.0),
        "gamma": Range(0.3, 0.95),
    },
    PARAMETERS,
)

#: For the miniature models, which are so small that they want a learning rate a hundred times as high.
MINI = Space(
    "mini",
    {
        "teacher_epochs": Choices((4, 8, 12)),
        "teacher_learning_rate": _MINI_LEARNING_RATES,
        "beta1": _PENALTIES,
        "student_epochs": Choices((4, 8)),
        "student_learning_rate": _MINI_LEARNING_RATES,
        "epochs": Choices((5, 10)),
        "learning_rate": _MINI_LEARNING_RATES,
        "beta2": _PENALTIES,
        "gamma": _SWITCH_RATES,
    },
    PARAMETERS,
)

SPACES: Mapping[str, Space] = {space.name: space for space in (PAPER, WIDE, MINI)}

#: The most frequent of the paper's picks for each hyperparameter: for pairs of task and student that it lacks.
PAPER_DEFAULTS: Mapping[str, Number] = {
    "teacher_epochs": 5,
    "teacher_learning_rate": 2e-5,
    "beta1": 0.3,
    "student_epochs": 10,
    "student_learning_rate": 1e-5,
    "epochs": 10,
    "learning_rate": 1e-5,
    "beta2": 0.5,
    "gamma": 0.9,
}

#: For the miniature models: long enough that a teacher without a penalty is overconfident, as the paper's are.
MINI_DEFAULTS: Mapping[str, Number] = {
    "teacher_epochs": 12,
    "teacher_learning_rate": 2e-3,
    "beta1": 0.5,
    "student_epochs": 8,
    "student_learning_rate": 2e-3,
    "epochs": 10,
    "learning_rate": 2e-3,
    "beta2": 0.5,
    "gamma": 0.8,
}
_DEFAULTS = {"paper": PAPER_DEFAULTS, "mini": MINI_DEFAULTS}

#: Tables A1 (BioBERT) and A4 (FinBERT): epochs and beta 1 of each task's teacher. Its learning rate is the text's.
_TEACHERS: Mapping[str, tuple[int, float]] = {
    "chemprot": (5, 0.3),
    "gad": (3, 0.7),
    "ddi": (5, 0.3),
    "i2b2": (5, 0.3),
    "hoc": (10, 0.0),
    "fpb": (5, 0.7),
    "fts": (5, 0.3),
}
_TEACHER_LEARNING_RATE = 2e-5

#: Tables A2, A3, A5 and A6: e1, lr1, e2, lr2, beta 2 and gamma by student and task.
_STUDENTS: Mapping[str, Mapping[str, tuple[int, float, int, float, float, float]]] = {
    "albert_xlarge": {
        "chemprot": (10, 6e-6, 10, 1e-5, 0.5, 0.9),
        "gad": (5, 6e-6, 10, 1e-5, 0.3, 0.9),
        "ddi": (10, 8e-6, 10, 1e-5, 0.7, 0.9),
        "i2b2": (10, 1e-5, 10, 1e-5, 0.5, 0.9),
        "hoc": (10, 1e-5, 10, 6e-6, 0.0, 0.6),
        "fpb": (10, 6e-6, 10, 1e-5, 0.0, 0.9),
        "fts": (10, 6e-6, 10, 6e-6, 0.1, 0.8),  # 0.1 as printed; it is not in the set that the text prints
    },
    "roberta_large": {
        "chemprot": (5, 1e-5, 10, 1e-5, 0.5, 0.8),
        "gad": (5, 1e-5, 10, 1e-5, 0.5, 0.9),
        "ddi": (10, 1e-5, 10, 1e-5, 0.7, 0.8),
        "i2b2": (5, 1e-5, 10, 1e-5, 0.5, 0.8),
        "hoc": (10, 1e-5, 10, 6e-6, 0.0, 0.6),
    },
    "roberta_base": {
        "fpb": (5, 1e-5, 10, 1e-5, 0.0, 0.9),
        "fts": (10, 1e-5, 10, 6e-6, 0.5, 0.9),
    },
}


def published(task: str, student: str) -> dict[str, Number] | None:
    """All hyperparameters that the paper chose for a task and a student; None where it has no such pair.

    Args:
        task: A task; of a fold or a mean over folds (``gad@10``) the task's.
        student: A model's name, as ``roberta_large``.
    """
    task = task.partition(_FOLD)[0]
    if task not in _STUDENTS.get(student, {}):
        return None
    teacher_epochs, beta1 = _TEACHERS[task]
    student_epochs, student_rate, epochs, rate, beta2, gamma = _STUDENTS[student][task]
    return {
        "teacher_epochs": teacher_epochs,
        "teacher_learning_rate": _TEACHER_LEARNING_RATE,
        "beta1": beta1,
        "student_epochs": student_epochs,
        "student_learning_rate": student_rate,
        "epochs": epochs,
        "learning_rate": rate,
        "beta2": beta2,
        "gamma": gamma,
    }


def picks(task: str) -> dict[str, dict[str, Number]]:
    """What the paper chose for a task, by student; nothing for tasks that it lacks.

    They are where a search of another student may start. All lie in the space ``wide``, and all but one in ``paper``
    (beta 2 of ``fts`` with ``albert_xlarge``); :meth:`search_spaces.space.Space.nearest` moves them into any other.
    """
    found = {student: published(task, student) for student in _STUDENTS}
    return {student: chosen for student, chosen in found.items() if chosen is not None}


def defaults(preset: str) -> dict[str, Number]:
    """All hyperparameters where nothing is published.

    Args:
        preset: ``paper`` or ``mini``.

    Raises:
        UserError: For another preset.
    """
    if preset not in _DEFAULTS:
        raise UserError(f"no default settings for preset {preset!r}{did_you_mean(preset, _DEFAULTS)}")
    return dict(_DEFAULTS[preset])


def get(name_or_path: str, base: str = "paper") -> Space:
    """A space by its name, or from a YAML file (:mod:`search_spaces.files`).

    Args:
        name_or_path: ``paper``, ``wide``, ``mini``, or a file.
        base: Whose dimensions hold where a file names neither them nor a base.

    Raises:
        UserError: For what is neither, with the nearest name, and for all that may be wrong with a file.
    """
    if name_or_path in SPACES:
        return SPACES[name_or_path]
    if name_or_path.endswith((".yaml", ".yml")) or Path(name_or_path).is_file():
        return files.read(name_or_path, PARAMETERS, SPACES, base)
    raise UserError(f"unknown space {name_or_path!r}{did_you_mean(name_or_path, SPACES)}, or a file ending in .yaml")


def parse_settings(text: str) -> dict[str, Number]:
    """Reads ``gamma=0.8,beta2=0.5``; see :func:`search_spaces.parameters.parse`.

    Raises:
        UserError: For an unknown name, what is no number, and a value that breaks its rule.
    """
    return parse(text, PARAMETERS)
