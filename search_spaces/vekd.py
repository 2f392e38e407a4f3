"""VE-KD's hyperparameters, the spaces in which they are searched, and what the paper chose.

The paper prints sets for two of them: the vocabulary sizes of its section 5.2 and the tolerances of its section 5.3
(0.1 is the default of its released code). Of alpha, the three weights and the temperature it prints neither sets nor
values; the values here are the released code's, and the sets surround them. The corpus shares are steps of Figure 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from search_spaces import files
from search_spaces.parameters import Number, Parameter, by_name, parse
from search_spaces.space import Choices, Range, Space
from trainables.errors import UserError, did_you_mean

#: As vocabulary size: the teacher's own, nothing is expanded.
BASE_VOCABULARY = 0


def _weight(name: str, meaning: str, source: str) -> Parameter:
    return Parameter(name, float, low=0, meaning=meaning, source=source)


PARAMETERS: Mapping[str, Parameter] = by_name(
    (
        Parameter(
            "vocabulary_size",
            int,
            low=0,
            meaning="pieces of the student; base is the teacher's vocabulary",
            source="section 5.2",
            words={"base": BASE_VOCABULARY},
        ),
        Parameter("tolerance", float, low=0, meaning="distillation losses below it count as 0", source="section 5.3"),
        _weight("mlm_weight", "alpha, of the masked-language-modelling loss", "section 3.3; released code: 1"),
        _weight("kl_weight", "of the Kullback-Leibler divergence", "section 3.3; released code: 2"),
        _weight("cosine_weight", "of the hidden states' cosine", "section 3.3; released code: 5"),
        _weight("mse_weight", "of the logits' squared difference", "section 3.3; released code: 1, its model: 0"),
        Parameter(
            "temperature", float, low=0, low_open=True, meaning="of both distributions", source="released code: 2"
        ),
        Parameter(
            "share",
            float,
            low=0,
            low_open=True,
            high=1,
            meaning="of the corpus's texts",
            source="section 5.4, Figure 4",
        ),
    )
)

#: The paper's sets, and around the released code's values where it prints none.
PAPER = Space(
    "paper",
    {
        "vocabulary_size": Choices((BASE_VOCABULARY, 40_000, 50_000, 60_000, 70_000, 80_000)),
        "tolerance": Choices((0.0, 0.1, 0.5, 1.0, 2.0)),
        "mlm_weight": Choices((0.5, 1.0, 2.0)),
        "kl_weight": Choices((1.0, 2.0, 5.0)),
        "cosine_weight": Choices((1.0, 5.0)),
        "mse_weight": Choices((0.0, 1.0)),
        "temperature": Choices((1.0, 2.0, 4.0)),
        "share": Choices((0.2, 0.4, 0.6, 0.8, 1.0)),
    },
    PARAMETERS,
)

#: Continuous, around the paper's. The vocabulary sizes stay a set: each is a tokenized corpus of its own.
WIDE = Space(
    "wide",
    {
        "vocabulary_size": Choices((BASE_VOCABULARY, *range(35_000, 90_000, 5_000))),
        "tolerance": Range(0.0, 2.0),
        "mlm_weight": Range(0.1, 10.0, log=True),
        "kl_weight": Range(0.0, 5.0),
        "cosine_weight": Range(0.0, 10.0),
        "mse_weight": Range(0.0, 2.0),
        "temperature": Range(1.0, 4.0),
        "share": Choices((0.2, 0.4, 0.6, 0.8, 1.0)),
    },
    PARAMETERS,
)

#: For the miniature models, whose vocabulary has 600 pieces; the domain corpus has 559 more to offer.
MINI = Space(
    "mini",
    {
        "vocabulary_size": Choices((BASE_VOCABULARY, 800, 1_100)),
        "tolerance": Choices((0.0, 0.1, 0.5)),
        "mlm_weight": Choices((1.0, 2.0)),
        "kl_weight": Choices((1.0, 2.0)),
        "cosine_weight": Choices((1.0, 5.0)),
        "mse_weight": Choices((0.0, 1.0)),
        "temperature": Choices((2.0,)),
        "share": Choices((1.0,)),
    },
    PARAMETERS,
)

SPACES: Mapping[str, Space] = {space.name: space for space in (PAPER, WIDE, MINI)}

#: What the paper found best (60,000 pieces, tolerance 0.5), and the released code's weights.
PAPER_DEFAULTS: Mapping[str, Number] = {
    "vocabulary_size": 60_000,
    "tolerance": 0.5,
    "mlm_weight": 1.0,
    "kl_weight": 2.0,
    "cosine_weight": 5.0,
    "mse_weight": 1.0,
    "temperature": 2.0,
    "share": 1.0,
}

#: The same weights, and nearly every domain word a piece of its own.
MINI_DEFAULTS: Mapping[str, Number] = {**PAPER_DEFAULTS, "vocabulary_size": 1_100, "tolerance": 0.1}
_DEFAULTS = {"paper": PAPER_DEFAULTS, "mini": MINI_DEFAULTS}


def published() -> dict[str, Number]:
    """What the paper chose, as far as it says; the weights are its released code's."""
    return dict(PAPER_DEFAULTS)


def plain(chosen: Mapping[str, Number]) -> dict[str, Number]:
    """The same settings as plain distillation: the teacher's vocabulary, no tolerance (DistilBERT on the corpus)."""
    return {**chosen, "vocabulary_size": BASE_VOCABULARY, "tolerance": 0.0}


def defaults(preset: str) -> dict[str, Number]:
    """All hyperparameters that are not given.

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
    """Reads ``vocabulary_size=60000,tolerance=0.5``; see :func:`search_spaces.parameters.parse`.

    Raises:
        UserError: For an unknown name, what is no number, and a value that breaks its rule.
    """
    return parse(text, PARAMETERS)
