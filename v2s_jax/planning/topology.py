"""Machines that nobody here owns: a TPU slice's devices from its compiler, others as fake CPU devices."""

import os
import re
from typing import Any, NamedTuple

import jax

from v2s_jax.errors import V2SError
from v2s_jax.training.chips import CHIPS, GIB, Chip

_FORM = re.compile(r"(?:([1-9]\d*)\*)?(\w+):(\d+(?:x\d+)*)")
# Without these libtpu asks the network which TPU this is, and refuses to be loaded twice on one machine.
_QUIET = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
}


class Topology(NamedTuple):
    """What a program is compiled for.

    Attributes:
        text: as the user wrote it.
        devices: one for each chip.
        chip: None of CPUs.
        real: whether the chip's own compiler is used.
        slices: that the devices are in.
    """

    text: str
    devices: list[Any]
    chip: Chip | None
    real: bool
    slices: int

    @property
    def memory(self) -> int | None:
        """Bytes of each chip that a program may take; None where nobody knows.

        Of a GPU a tenth is left to CUDA, its libraries and fragments.
        """
        if self.chip is None:
            return None
        return self.chip.memory if self.real else int(0.9 * self.chip.memory)

    def __str__(self) -> str:
        if self.chip is None:
            return f"{len(self.devices)} fake CPU devices"
        size = f"{self.chip.memory / GIB:.1f} GiB each"
        how = "by its own compiler" if self.real else "by XLA's CPU compiler on fake devices"
        return f"{len(self.devices)} x {self.chip.name} ({size}), {how}"


def prepare(topologies: list[str]) -> None:
    """Sets jax up for them; before it looks for devices.

    Raises:
        V2SError: one is written wrongly.
    """
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    fakes = [count for _, name, count in map(_parse, topologies) if not _is_tpu(name)]
    jax.config.update("jax_platforms", "cpu")
    if fakes and jax.config.jax_num_cpu_devices < max(fakes):  # type: ignore[attr-defined]
        jax.config.update("jax_num_cpu_devices", max(fakes))


def open_topology(text: str) -> Topology:
    """The devices of `v5e:16x16`, `2*v5e:16x16` (slices), `h100:8` or `cpu:8`.

    Raises:
        V2SError: there is no such machine, or no compiler for it.
    """
    slices, name, count = _parse(text)
    chip = CHIPS.get(name)
    if _is_tpu(name):
        devices = _tpu_devices(text, slices)
        if len(devices) != count:  # as of a v4, whose two cores libtpu shows and a real slice does not
            raise V2SError(f"--topology {text}: its compiler speaks of {len(devices)} devices in {count} chips.")
        return Topology(text, devices, chip, True, slices)
    if len(jax.devices()) < count:
        raise V2SError(f"{text} needs {count} fake devices, but jax has started with {len(jax.devices())}.")
    return Topology(text, jax.devices()[:count], chip, False, slices)


def _is_tpu(name: str) -> bool:
    return name in CHIPS and CHIPS[name].kinds[0].startswith("TPU")


def _parse(text: str) -> tuple[int, str, int]:
    """Slices, chip and number of all chips."""
    match = _FORM.fullmatch(text)
    if not match or (match[2] not in CHIPS and match[2] != "cpu"):
        known = ", ".join([*CHIPS, "cpu"])
        raise V2SError(f"--topology {text}: write CHIP:SHAPE, such as v5e:16x16, v5p:4x4x4 or h100:8, of {known}.")
    slices, count = int(match[1] or 1), 1
    for size in match[3].split("x"):
        count *= int(size)
    if not count:
        raise V2SError(f"--topology {text} has no chips.")
    return slices, match[2], slices * count


def _tpu_devices(text: str, slices: int) -> list[Any]:
    from jax.experimental import topologies

    more = {"num_slices": slices} if slices > 1 else {}
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=text.rpartition("*")[2], **more)
    except (ImportError, ValueError, RuntimeError) as error:
        if not _has_compiler():
            raise V2SError(
                f"--topology {text} needs the TPU's compiler, libtpu, which is not installed: "
                "pip install 'v2s-jax[tpu]' (it needs no TPU)."
            ) from error
        raise V2SError(f"--topology {text}: the TPU's compiler knows no such slice ({_first(error)}).") from error
    return list(found.devices)


def _has_compiler() -> bool:
    import importlib.util

    return "TPU_LIBRARY_PATH" in os.environ or importlib.util.find_spec("libtpu") is not None


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
