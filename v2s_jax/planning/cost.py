"""What a compiled step costs a chip: memory, arithmetic, communication and time."""

import dataclasses
import math
import re
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from v2s_jax.planning.abstract import Experiment, Job, make_job
from v2s_jax.planning.hlo import Program, by_kind, read_program, sent
from v2s_jax.planning.topology import Topology
from v2s_jax.training import mesh as meshes

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_AMOUNT = r"([\d.]+)([KMGT])"


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of a step on a mesh, for each chip; memory in bytes.

    Attributes:
        topology: as asked for.
        mesh: sizes of its axes.
        chips: how many there are.
        rows: of the global batch.
        params: parameters and statistics.
        optimizer: moments.
        ema: averages.
        batch: what the step reads of the data.
        temporaries: activations, gradients and other values while it runs; None where it does not compile.
        peak: all of it, with the program.
        limit: what a program may take; None where nobody knows.
        flops: arithmetic of a chip.
        bytes: that go between a chip and its memory, as the compiler counts.
        compute: seconds without communication; None where nobody knows.
        basis: what `compute` is based on.
        communication: seconds, if none of it overlaps with computation; None where nobody knows.
        collectives: times and bytes by kind.
        compiled_in: seconds.
    """

    topology: str
    mesh: dict[str, int]
    chips: int
    rows: int
    params: int
    optimizer: int
    ema: int
    batch: int
    temporaries: int | None
    peak: int
    limit: int | None
    flops: float
    bytes: float = 0.0
    compute: float | None = None
    basis: str = ""
    communication: float | None = None
    collectives: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    compiled_in: float = 0.0

    @property
    def excess(self) -> int:
        """Bytes by which it does not fit; 0 where it does, or where nobody knows."""
        return max(0, self.peak - self.limit) if self.limit is not None else 0

    @property
    def seconds(self) -> float | None:
        """Of a step, if nothing overlaps."""
        return None if self.compute is None else self.compute + (self.communication or 0.0)


def measure(experiment: Experiment, topology: Topology, axes: dict[str, int], step: str, rows: int) -> Cost:
    """Compiles a step for a machine and reads what it costs.

    Args:
        experiment: what trains.
        topology: the machine.
        axes: of the mesh.
        step: of `abstract.STEPS`.
        rows: of the global batch.

    Raises:
        V2SError: mesh, batch and machine do not fit each other.
    """
    settings = ConfigDict(experiment.config.mesh.to_dict() | {"slices": topology.slices} | axes)
    mesh = meshes.make_mesh(settings, topology.devices)
    job = make_job(experiment, mesh, settings, step, rows)
    before = time.perf_counter()
    known = {
        "topology": topology.text,
        "mesh": {str(axis): size for axis, size in mesh.shape.items()},
        "chips": len(topology.devices),
        "rows": rows,
        "params": held(job, "params", "stats"),
        "optimizer": held(job, "opt_state"),
        "ema": held(job, "ema"),
        "batch": held(job, "batch"),
        "limit": topology.memory,
        "flops": job.flops / len(topology.devices),
    }
    try:
        compiled = job.step.lower(*job.arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        arguments = held(job, *job.parts)
        needed, limit = refused(str(error), arguments)
        return Cost(**known | {"limit": limit or known["limit"]}, temporaries=None, peak=needed)  # type: ignore[arg-type]
    memory, counts = compiled.memory_analysis(), compiled.cost_analysis()
    fixed = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    program = read_program(compiled.as_text())
    traffic = _traffic(counts, job.flops / len(topology.devices))
    return Cost(
        **known,  # type: ignore[arg-type]
        temporaries=memory.temp_size_in_bytes,
        peak=fixed + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
        bytes=traffic,
        **_time(topology, program, known["flops"], traffic),  # type: ignore[arg-type]
        collectives=by_kind(program.collectives),
        compiled_in=time.perf_counter() - before,
    )


def held(job: Job, *names: str) -> int:
    """Bytes on a chip of some of a job's arguments."""
    leaves = [leaf for name in names for leaf in jax.tree.leaves(job.parts.get(name))]
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)


def refused(message: str, arguments: int) -> tuple[int, int | None]:
    """Bytes that a step needs and that there are, of how XLA refuses it."""
    if used := re.search(rf"Used {_AMOUNT} of {_AMOUNT} hbm", message):
        return _bytes(used[1], used[2]), _bytes(used[3], used[4])
    if used := re.search(rf"\({_AMOUNT}\) exceeds available HBM \({_AMOUNT}\)", message):
        needed = _bytes(used[1], used[2])
        return needed + (arguments if "temporaries" in message else 0), _bytes(used[3], used[4])
    return arguments, None


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])


def _traffic(counts: Any, flops: float) -> float:
    """Bytes to and from memory. XLA counts what a loop does once; as many are taken to be missing as of the FLOPs."""
    counted = counts.get("flops", 0.0)
    return counts.get("bytes accessed", 0.0) * (max(1.0, flops / counted) if counted > 0 else 1.0)


def _time(topology: Topology, program: Program, flops: float, traffic: float) -> dict[str, Any]:
    chip = topology.chip
    if chip is None:
        return {}
    communication = sum(map(sent, program.collectives)) / chip.ring
    if program.cycles and chip.clock:
        basis = f"the compiler's cycles at {chip.clock / 1e9:g} GHz"
        return {"compute": program.cycles / chip.clock, "basis": basis, "communication": communication}
    roofline = max(flops / chip.flops, traffic / chip.bandwidth)
    basis = f"the roofline of {chip.name}: {chip.flops / 1e12:g} TFLOP/s, {chip.bandwidth / 1e9:g} GB/s"
    return {"compute": roofline, "basis": basis, "communication": communication}
