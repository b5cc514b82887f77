"""Named amounts as texts say them: `blur=2`, or several such as `dark=0.9+drop=0.3`."""

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from v2s_jax.errors import V2SError


@runtime_checkable
class Known(Protocol):
    """What a name may be given: from 0, which changes nothing, to the most, and what is counted."""

    @property
    def most(self) -> float:
        """The greatest amount."""

    @property
    def unit(self) -> str:
        """What it counts, in words."""


def parse_amounts(text: str, known: Mapping[str, Known], kind: str) -> list[tuple[str, float]]:
    """The names and amounts of `NAME=AMOUNT`, several joined by `+`, in their order; none of "".

    Args:
        text: as above.
        known: what there is.
        kind: what each of them is, for errors: "way to degrade video".

    Raises:
        V2SError: there is no such name, or not in that amount.
    """
    return [_parse_one(part, known, kind) for part in text.split("+")] if text else []


def _parse_one(part: str, known: Mapping[str, Known], kind: str) -> tuple[str, float]:
    name, equals, amount = part.partition("=")
    if not equals or name not in known:
        raise V2SError(f"{part!r} is no {kind}: expected NAME=AMOUNT of {', '.join(known)}")
    most, unit = known[name].most, known[name].unit
    try:
        value = float(amount)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise V2SError(f"{part!r} is no {kind}: expected 0 to {most:g} for {name} ({unit})")
    return name, value
