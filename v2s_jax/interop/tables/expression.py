"""`interop/torch/expression.py` and our `models/expression.py`."""

from collections.abc import Sequence

from v2s_jax.interop.table import CONV2D, Entry, linear, norm
from v2s_jax.interop.tables.spectral import block
from v2s_jax.models.constants import EXPRESSION_BLOCKS


def entries(channels: Sequence[int]) -> list[Entry]:
    """The table of an encoder of facial expression.

    Args:
        channels: of its convolutions over the picture.
    """
    table = linear("project", "project")
    for index in range(len(channels)):
        table += [Entry(f"convs.{index}.weight", f"convs.{index}.kernel", CONV2D)]
        table += norm(f"norms.{index}", f"norms.{index}")
    return table + [entry for index in range(EXPRESSION_BLOCKS) for entry in block(f"blocks.{index}")]
