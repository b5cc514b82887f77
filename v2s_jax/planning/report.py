"""Plans as tables to read."""

from collections.abc import Sequence

from v2s_jax.models.remat import POLICIES
from v2s_jax.planning.cost import Cost
from v2s_jax.training.chips import GIB

_HEAD = ("topology", "mesh", "batch", "params", "optim", "ema", "temp", "peak GiB", "of", "TFLOP", "compute", "links")
_HEAD_END = ("clips/s", "each chip", "MFU")


def table(costs: Sequence[Cost], peak_flops: float | None) -> str:
    """A line for each plan: GiB, TFLOPs and milliseconds of each chip, and clips a second of all together.

    Args:
        costs: with topology, mesh and batch.
        peak_flops: of a chip.
    """
    rows = [(*_HEAD, *_HEAD_END), *(_row(cost, peak_flops) for cost in costs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _row(cost: Cost, peak_flops: float | None) -> tuple[str, ...]:
    temporaries = "?" if cost.temporaries is None else _gib(cost.temporaries)
    limit = "?" if cost.limit is None else f"{cost.limit / GIB:.1f}"
    times = [seconds and f"{1e3 * seconds:.1f} ms" or "-" for seconds in (cost.compute, cost.communication)]
    speeds = ["-", "-", "-"]
    if cost.seconds:
        rate = cost.rows / cost.seconds
        share = f"{cost.flops / cost.seconds / peak_flops:.1%}" if peak_flops else "-"
        speeds = [f"{rate:.0f}", f"{rate / cost.chips:.1f}", share]
    memory = [_gib(cost.params), _gib(cost.optimizer), _gib(cost.ema), temporaries]
    peak = _gib(cost.peak) + (" !" if cost.excess else "")
    mesh = ",".join(f"{axis}={size}" for axis, size in cost.mesh.items() if size > 1) or "one chip"
    return (cost.topology, mesh, str(cost.rows), *memory, peak, limit, f"{cost.flops / 1e12:.3f}", *times, *speeds)


def scaling(costs: Sequence[Cost]) -> str:
    """How clips a second grow with the chips, the batch of each staying the same."""
    lines = ["Weak scaling:"]
    first = costs[0]
    for cost in costs:
        if cost.seconds and first.seconds:
            each, least = cost.rows / cost.seconds / cost.chips, first.rows / first.seconds / first.chips
            speed = f"{each * cost.chips:9.0f} clips/s  {each:7.1f} each chip  {each / least:6.1%}"
        else:
            speed = "time not known"
        lines.append(f"  {cost.topology:<12} {cost.chips:5d} chips  batch {cost.rows:6d}  {speed}")
    return "\n".join(lines)


def details(cost: Cost) -> str:
    """What one plan's time is based on, and its communication."""
    if cost.temporaries is None:
        return "The compiler refuses it."
    lines = [
        f"Traffic with memory: {cost.bytes / 1e9:.2f} GB of a chip in a step; compiled in {cost.compiled_in:.0f} s."
    ]
    if cost.basis:
        lines.append(
            f"Computation from {cost.basis}; links: collectives by rings, nothing overlapping (an upper bound)."
        )
    if "*" in cost.topology:
        lines.append("The network between slices is slower than the links inside one, which is what was counted.")
    for kind, (times, size) in cost.collectives.items():
        lines.append(f"  {kind:<20} {times:6d} a step  {size / 2**20:12.2f} MiB")
    if not cost.collectives:
        lines.append("  no collectives")
    return "\n".join(lines)


def verdict(cost: Cost) -> str:
    """Whether it fits, in a sentence."""
    if cost.limit is None:
        return f"It takes {_gib(cost.peak)} GiB of each device; how much there is, is not known."
    if cost.excess:
        return (
            f"It does not fit: it takes {_gib(cost.peak)} GiB of each chip, {_gib(cost.excess)} GiB more than the "
            f"{_gib(cost.limit)} GiB there are. Raise mesh.fsdp or train.accumulate, set remat in the model's section "
            f"({POLICIES[-2]} or {POLICIES[-1]}), or lower the batch size."
        )
    return f"It fits: {_gib(cost.peak)} GiB of the {_gib(cost.limit)} GiB of each chip ({cost.peak / cost.limit:.0%})."


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
