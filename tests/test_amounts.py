from typing import NamedTuple

import pytest

from v2s_jax.amounts import parse_amounts
from v2s_jax.errors import V2SError


class Kind(NamedTuple):
    most: float
    unit: str


KNOWN = {"fog": Kind(1.0, "share of what is hidden"), "rain": Kind(20.0, "mm")}


def test_names_and_amounts_keep_their_order():
    assert parse_amounts("rain=3+fog=0.5", KNOWN, "weather") == [("rain", 3.0), ("fog", 0.5)]
    assert parse_amounts("", KNOWN, "weather") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("snow=1", "'snow=1' is no weather: expected NAME=AMOUNT of fog, rain"),
        ("fog", "'fog' is no weather: expected NAME=AMOUNT"),
        ("rain=1+", "'' is no weather"),
        ("rain=21", r"'rain=21' is no weather: expected 0 to 20 for rain \(mm\)"),
        ("fog=much", "expected 0 to 1 for fog"),
        ("fog=nan", "expected 0 to 1 for fog"),
        ("fog=-0.1", "expected 0 to 1 for fog"),
    ],
)
def test_what_there_is_not_is_one_sentence(text, message):
    with pytest.raises(V2SError, match=message):
        parse_amounts(text, KNOWN, "weather")
