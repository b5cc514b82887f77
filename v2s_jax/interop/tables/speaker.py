"""GE2E speaker encoders in the layout of Resemblyzer and Real-Time-Voice-Cloning, and our `models/speaker.py`."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import TRANSPOSE, Entry, linear


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of an encoder.

    Args:
        config: the `model` section.
    """
    table = [
        *linear("linear", "linear"),
        Entry("similarity_weight", "similarity.scale"),
        Entry("similarity_bias", "similarity.bias"),
    ]
    for layer in range(config["layers"]):
        for theirs, ours in (("ih", "input"), ("hh", "recurrent")):
            table.append(Entry(f"lstm.weight_{theirs}_l{layer}", f"lstm.{layer}.{ours}.kernel", TRANSPOSE))
            table.append(Entry(f"lstm.bias_{theirs}_l{layer}", f"lstm.{layer}.{ours}.bias"))
        if config["projection"]:
            table.append(Entry(f"lstm.weight_hr_l{layer}", f"lstm.{layer}.project.kernel", TRANSPOSE))
    return table
