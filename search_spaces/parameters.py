"""Hyperparameters by name: what a method declares of each, and the checking of values that somebody gave."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from trainables.errors import UserError, did_you_mean

Number = int | float


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One hyperparameter of a method and the rule that its values keep.

    Attributes:
        name: On the command line, in files and in the leaderboard.
        kind: ``int`` or ``float``.
        low: Smallest value, or None.
        high: Largest value, or None.
        low_open: Whether ``low`` itself is refused.
        meaning: What it does, for help texts.
        source: Where it comes from.
        words: Words that stand for values, such as ``base`` for 0.
    """

    name: str
    kind: type[int] | type[float]
    low: Number | None = None
    high: Number | None = None
    low_open: bool = False
    meaning: str = ""
    source: str = ""
    words: Mapping[str, Number] = dataclasses.field(default_factory=dict)

    @property
    def rule(self) -> str:
        """The rule in words, to follow "must be"."""
        noun = "a whole number" if self.kind is int else "a number"
        above = "" if self.low is None else f" above {self.low:g}" if self.low_open else f" of at least {self.low:g}"
        if self.high is None:
            return f"{noun}{above}{self._words}"
        if self.low is None:
            return f"{noun} of at most {self.high:g}"
        if self.low_open:
            return f"{noun} above {self.low:g} and at most {self.high:g}"
        return f"{noun} from {self.low:g} to {self.high:g}"

    @property
    def _words(self) -> str:
        return "".join(f", or {word!r} for {shown(value)}" for word, value in self.words.items())

    def check(self, value: Any, where: str = "") -> Number:
        """A value as its kind, if it keeps the rule.

        Args:
            value: An int or a float; a whole float will do for an int, and so will one of its words.
            where: Begins the error, as ``"space 'paper': "``.

        Raises:
            UserError: With the name, the value, the rule and the nearest value that keeps it.
        """
        if isinstance(value, str):
            value = self.words.get(value, value)
        if not _is_finite(value) or (self.kind is int and value != int(value)):
            raise UserError(f"{where}{self.name}={value!r} must be {self.rule}")
        if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
            nearest = "" if self.low_open else f"; nearest: {self.low:g}"
            raise UserError(f"{where}{self.name}={value!r} must be {self.rule}{nearest}")
        if self.high is not None and value > self.high:
            raise UserError(f"{where}{self.name}={value!r} must be {self.rule}; nearest: {self.high:g}")
        return self.kind(value)


Parameters = Mapping[str, Parameter]


def by_name(declared: Iterable[Parameter]) -> dict[str, Parameter]:
    """A method's hyperparameters by name, in the order in which they are declared."""
    return {parameter.name: parameter for parameter in declared}


def known(name: Any, parameters: Parameters, where: str = "") -> Parameter:
    """The hyperparameter of a name.

    Raises:
        UserError: For one that the method does not have, with the nearest that it has.
    """
    if name not in parameters:
        raise UserError(f"{where}unknown hyperparameter {name!r}{did_you_mean(str(name), parameters)}")
    return parameters[name]


def shown(value: Number) -> str:
    """A number for messages: short, but not shorter than what tells it from its neighbours."""
    return f"{value:.12g}"


def number(text: str) -> Number | str:
    """The number that a text spells, such as ``5`` or ``1e-5``; else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse(text: str, parameters: Parameters, option: str = "--settings") -> dict[str, Number]:
    """Reads values from the command line, as ``gamma=0.8,beta2=0.5``.

    Args:
        text: Comma-separated; blanks around names and values do not matter.
        parameters: What the method has.
        option: Begins the errors.

    Returns:
        Values by name, in the order given.

    Raises:
        UserError: For an item without ``=``, an unknown name, a name given twice, and a value that breaks its rule.
    """
    found: dict[str, Number] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            example = list(parameters)[-1]
            raise UserError(f"{option}: {item!r} must read NAME=VALUE, as in {example}=0.5")
        parameter = known(name, parameters, f"{option}: ")
        if name in found:
            raise UserError(f"{option}: {name} is given twice, {shown(found[name])} and {value}; give it once")
        found[name] = parameter.check(number(value), f"{option}: ")
    if not found:
        raise UserError(f"{option}={text!r} sets nothing; give NAME=VALUE,... of {', '.join(parameters)}")
    return found


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int past all floats
        return False
