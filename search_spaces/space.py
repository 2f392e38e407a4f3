"""Search spaces: named dimensions, each a finite set or a range, checked against the rules of their hyperparameters."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from search_spaces.parameters import Number, Parameter, Parameters, known, shown
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import optuna

#: How far a stored value may be from a step of its range, as a share of the step; Optuna's own tolerance.
_STEP_TOLERANCE = 1e-8


@dataclasses.dataclass(frozen=True)
class Choices:
    """A finite set of values.

    Attributes:
        values: The set, in the order in which combinations are made. A space keeps each value once.
    """

    values: tuple[Number, ...]

    def checked(self, parameter: Parameter, where: str) -> Choices:
        """The same set with every value of the parameter's kind, and each once.

        Raises:
            UserError: For an empty set, and a value that breaks the parameter's rule.
        """
        if not self.values:
            raise UserError(f"{where}{parameter.name} is an empty set; give at least one value ({parameter.rule})")
        return Choices(tuple(dict.fromkeys(parameter.check(value, where) for value in self.values)))

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.values)

    def listed(self) -> tuple[Number, ...]:
        """All values."""
        return self.values

    def nearest(self, value: Number) -> Number:
        """The value of the set that is closest to one."""
        return min(self.values, key=lambda choice: abs(choice - value))

    def suggest(self, trial: optuna.trial.Trial, name: str) -> Number:
        """Asks a trial for a value."""
        chosen: Number = trial.suggest_categorical(name, self.values)
        return chosen

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """As Optuna stores it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def __str__(self) -> str:
        return "{" + ", ".join(map(shown, self.values)) + "}"


@dataclasses.dataclass(frozen=True)
class Range:
    """All values between two, both included.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether values are drawn evenly in their logarithm.
        integer: Whether only whole numbers are meant.
        step: Distance of the values from one another; None is any value, or every whole number.
    """

    low: Number
    high: Number
    log: bool = False
    integer: bool = False
    step: Number | None = None

    def checked(self, parameter: Parameter, where: str) -> Range:
        """The same range with bounds of the parameter's kind.

        Raises:
            UserError: For bounds that break the parameter's rule or are not in order, a logarithm that has no
                meaning, a step that does not lead from one bound to the other, and whole numbers where the parameter
                has any, or the other way round.
        """
        name = parameter.name
        low, high = parameter.check(self.low, where), parameter.check(self.high, where)
        if low >= high:
            raise UserError(
                f"{where}{name} from {shown(low)} to {shown(high)}: low must be below high; for one value give it alone"
            )
        if self.log and low <= 0:
            raise UserError(f"{where}{name} from {shown(low)} with log: low must be above 0")
        if self.integer != (parameter.kind is int):
            kind = "whole numbers" if parameter.kind is int else "any numbers"
            raise UserError(f"{where}{name}: integer={self.integer} does not fit, since its values are {kind}")
        made = dataclasses.replace(self, low=low, high=high)
        return made if self.step is None else made._with_step(parameter, where)

    def _with_step(self, parameter: Parameter, where: str) -> Range:
        begins = f"{where}{parameter.name} from {shown(self.low)} to {shown(self.high)} in steps of {self.step!r}"
        if self.log:
            raise UserError(f"{begins}: a range has log or a step, not both")
        step = dataclasses.replace(parameter, low=0, low_open=True, high=None, name="step").check(
            self.step, f"{where}{parameter.name}: "
        )
        steps = (self.high - self.low) / step
        if steps < 1 or abs(steps - round(steps)) > _STEP_TOLERANCE:
            nearest = _on_grid(self.low, step, max(1, math.floor(steps)))
            raise UserError(f"{begins}: high must be low plus a whole number of steps; nearest: {shown(nearest)}")
        return dataclasses.replace(self, step=step)

    @property
    def spacing(self) -> Number | None:
        """Distance between neighbouring values; None where any value will do."""
        return 1 if self.integer and self.step is None else self.step

    @property
    def count(self) -> int | None:
        """Number of values; None where there is no end of them."""
        return None if self.spacing is None else round((self.high - self.low) / self.spacing) + 1

    def listed(self) -> tuple[Number, ...] | None:
        """All values; None where there is no end of them."""
        if self.spacing is None or self.count is None:
            return None
        return tuple(_on_grid(self.low, self.spacing, index) for index in range(self.count))

    def nearest(self, value: Number) -> Number:
        """The value of the range that is closest to one."""
        within = min(max(value, self.low), self.high)
        if self.spacing is None:
            return float(within)
        return _on_grid(self.low, self.spacing, round((within - self.low) / self.spacing))

    def suggest(self, trial: optuna.trial.Trial, name: str) -> Number:
        """Asks a trial for a value; of a range with steps it is exactly one of :meth:`listed`."""
        if self.integer:
            whole: int = trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
            return whole
        return self.nearest(trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log))

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """As Optuna stores it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.integer:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def __str__(self) -> str:
        how = " (log)" if self.log else f" (step {shown(self.step)})" if self.step is not None else ""
        return f"{shown(self.low)}..{shown(self.high)}{how}"


@dataclasses.dataclass(frozen=True)
class Space:
    """Named dimensions, each of them some hyperparameter's.

    Attributes:
        name: Of the space.
        dimensions: Set or range of each hyperparameter that is searched. They are kept in the order of
            ``parameters``, so that the order in which somebody wrote them makes no difference.
        parameters: All hyperparameters of the method, with their rules.
    """

    name: str
    dimensions: Mapping[str, Choices | Range]
    parameters: Parameters

    def __post_init__(self) -> None:
        """Checks every dimension.

        Raises:
            UserError: With the dimension, the value, the rule, and the nearest choice where there is one.
        """
        where = f"space {self.name!r}: "
        if not self.dimensions:
            raise UserError(f"{where}it has no dimensions; give some of {', '.join(self.parameters)}")
        for name in self.dimensions:
            known(name, self.parameters, where)
        checked = {
            name: self.dimensions[name].checked(parameter, where)
            for name, parameter in self.parameters.items()
            if name in self.dimensions
        }
        object.__setattr__(self, "dimensions", checked)

    def subset(self, names: Iterable[str]) -> Space:
        """The space of some dimensions alone.

        Raises:
            UserError: For a name that is no dimension.
        """
        return dataclasses.replace(self, dimensions={name: self._dimension(name) for name in names})

    @property
    def size(self) -> int | None:
        """Number of combinations; None where a range has no end of values."""
        counts = [dimension.count for dimension in self.dimensions.values()]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def grid(self) -> dict[str, tuple[Number, ...]]:
        """All values of every dimension.

        Raises:
            UserError: Naming a dimension that has no end of them.
        """
        found: dict[str, tuple[Number, ...]] = {}
        for name, dimension in self.dimensions.items():
            values = dimension.listed()
            if values is None:
                raise UserError(
                    f"space {self.name!r}: {name} in {dimension} has no end of values, so it has no grid; give a set "
                    "or a step"
                )
            found[name] = values
        return found

    def combinations(self) -> Iterator[dict[str, Number]]:
        """All combinations of a finite space, always in the same order: the last dimension changes fastest.

        Raises:
            UserError: As :meth:`grid`.
        """
        grid = self.grid()
        return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))

    def suggest(self, trial: optuna.trial.Trial, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Asks a trial for a value of each dimension, or of those named only.

        ``trial.params`` may differ from these values in the last bit where a range has a step: Optuna adds steps up.
        :meth:`check_params` makes the one from the other.
        """
        chosen = self.dimensions if names is None else self.subset(names).dimensions
        return {name: dimension.suggest(trial, name) for name, dimension in chosen.items()}

    def distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """The dimensions as Optuna stores them."""
        return {name: dimension.distribution() for name, dimension in self.dimensions.items()}

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether values are a point of the space: all its dimensions, no others, each value in its set or range."""
        try:
            self.check_params(params)
        except UserError:
            return False
        return True

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Number]:
        """A point of the space as :meth:`suggest` would have given it.

        Raises:
            UserError: For a missing or unknown name, and a value outside its set or range, with the nearest inside.
        """
        where = f"space {self.name!r}: "
        for name in params:
            self._dimension(name)
        missing = [name for name in self.dimensions if name not in params]
        if missing:
            raise UserError(f"{where}no value for {', '.join(missing)}; give one for every dimension")
        found: dict[str, Number] = {}
        for name, dimension in self.dimensions.items():
            value = self.parameters[name].check(params[name], where)
            found[name] = dimension.nearest(value)
            step = dimension.step if isinstance(dimension, Range) else None
            if abs(found[name] - value) > _STEP_TOLERANCE * (step or 0):
                raise UserError(f"{where}{name}={shown(value)} must be in {dimension}; nearest: {shown(found[name])}")
        return found

    def nearest(self, params: Mapping[str, Any]) -> dict[str, Number]:
        """The point of the space that is closest to some values in every dimension; other names are left out.

        Raises:
            UserError: For a missing name, and a value that breaks the rule of its hyperparameter.
        """
        inside = {
            name: dimension.nearest(self.parameters[name].check(params[name], f"space {self.name!r}: "))
            for name, dimension in self.dimensions.items()
            if name in params
        }
        return self.check_params(inside)

    def describe(self) -> str:
        """All dimensions in one line."""
        return "; ".join(f"{name} {dimension}" for name, dimension in self.dimensions.items())

    def _dimension(self, name: str) -> Choices | Range:
        if name not in self.dimensions:
            raise UserError(
                f"space {self.name!r}: {name!r} is no dimension of it{did_you_mean(str(name), self.dimensions)}"
            )
        return self.dimensions[name]


def _on_grid(low: Number, step: Number, index: int) -> Number:
    """``low + index * step`` in decimal, so that three steps of 0.1 are 0.3 and have the key of 0.3."""
    exact = Decimal(repr(low)) + index * Decimal(repr(step))
    return int(exact) if isinstance(low, int) else float(exact)
