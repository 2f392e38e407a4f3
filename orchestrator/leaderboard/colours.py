"""Blue for gains, orange for losses, the stronger the larger the change; told apart by the colour-blind too."""

from __future__ import annotations

RGB = tuple[int, int, int]

_GAIN: RGB = (91, 155, 221)  # both are light enough for black text at full strength
_LOSS: RGB = (250, 156, 72)
_NONE: RGB = (255, 255, 255)


def of_change(change: float, largest: float) -> RGB:
    """The background of a change.

    The strength grows with the square root, or the two or three largest changes of a grid (question answering, in
    the paper's) would leave all others white.

    Args:
        change: In points.
        largest: The change that gets full strength; the same for all grids that are shown together.
    """
    if largest <= 0 or change == 0:
        return _NONE
    strength = min(1.0, abs(change) / largest) ** 0.5
    full = _GAIN if change > 0 else _LOSS
    red, green, blue = (round(white + strength * (end - white)) for white, end in zip(_NONE, full, strict=True))
    return red, green, blue


def legend(largest: float) -> list[float]:
    """Changes to show in a legend, from the largest loss to the largest gain, evenly spaced in strength."""
    steps = (1.0, 0.25, 0.0625)
    gains = [largest * step for step in steps]
    return [*(-gain for gain in gains), 0.0, *reversed(gains)]


def points(change: float) -> str:
    """A change with its sign; ``0`` has none."""
    return f"{change:+.2f}" if change else "0"


def hexadecimal(colour: RGB) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
