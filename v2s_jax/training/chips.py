"""What makers publish of their accelerators: memory, arithmetic, bandwidths. For utilisation and for plans.

Sources: Cloud TPU's pages "System architecture" (docs.cloud.google.com/tpu/docs, v4, v5e, v5p, v6e); NVIDIA's sheets
of A100 80GB SXM, H100 SXM, H200 SXM and L4 (dense figures, without sparsity). Of the published bandwidth between chips,
which counts both directions and every link, `ring` is what one collective uses: half of it, and of a TPU that of one of
the two or three axes of its torus.
"""

import re
from typing import NamedTuple

GIB = 2**30


class Chip(NamedTuple):
    """One accelerator.

    Attributes:
        name: as in `--topology=NAME:SHAPE`.
        kinds: what jax calls such a device (`jax.Device.device_kind`), or how that begins.
        memory: bytes of HBM.
        flops: bfloat16 FLOP/s at the most.
        bandwidth: bytes/s of its memory.
        ring: bytes/s that it can send to its neighbours along one axis of a slice, both ways round, or into its node.
        clock: Hz of its cores; 0 where no plan needs it. Of TPUs it follows from `flops` and the size and number of
            their matrix units.
    """

    name: str
    kinds: tuple[str, ...]
    memory: int
    flops: float
    bandwidth: float
    ring: float
    clock: float = 0.0


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", ("TPU v4",), 32 * GIB, 275e12, 1200e9, 100e9, 1.05e9),
        Chip("v5e", ("TPU v5 lite", "TPU v5e"), 16 * GIB, 197e12, 819e9, 100e9, 1.5e9),
        Chip("v5p", ("TPU v5p", "TPU v5"), 95 * GIB, 459e12, 2765e9, 200e9, 1.75e9),
        Chip("v6e", ("TPU v6 lite", "TPU v6e"), 32 * GIB, 918e12, 1640e9, 200e9, 1.75e9),
        Chip("l4", ("NVIDIA L4",), 24 * 10**9, 121e12, 300e9, 32e9),
        Chip("a100", ("NVIDIA A100-SXM4-80GB", "NVIDIA A100"), 80 * 10**9, 312e12, 2039e9, 300e9),
        Chip("h100", ("NVIDIA H100",), 80 * 10**9, 989e12, 3350e9, 450e9),
        Chip("h200", ("NVIDIA H200",), 141 * 10**9, 989e12, 4800e9, 450e9),
    )
}


def chip_of(kind: str) -> Chip | None:
    """The chip of a jax device kind; None of an unknown one, such as a CPU. Longer names are looked at first."""
    named = sorted(((name, chip) for chip in CHIPS.values() for name in chip.kinds), key=lambda pair: -len(pair[0]))
    return next((chip for name, chip in named if re.match(rf"{name}(?![0-9A-Za-z])", kind)), None)
