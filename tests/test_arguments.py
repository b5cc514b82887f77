import argparse

import pytest

from v2s_jax.arguments import positive


def test_only_numbers_of_one_or_more():
    assert positive("12") == 12
    with pytest.raises(argparse.ArgumentTypeError, match="must be 1 or more"):
        positive("0")
    with pytest.raises(ValueError):
        positive("many")
