"""The plans of an experiment for one machine, printed as they come."""

from collections.abc import Sequence

from v2s_jax.planning import report
from v2s_jax.planning.abstract import Experiment
from v2s_jax.planning.cost import Cost, measure
from v2s_jax.planning.search import meshes_to_try, recommend
from v2s_jax.planning.topology import Topology


def plan(
    experiment: Experiment, machine: Topology, axes: dict[str, int] | None, step: str, sizes: Sequence[int]
) -> tuple[list[Cost], Cost]:
    """All plans for a machine, and the recommended one.

    Args:
        experiment: what trains.
        machine: to compile for.
        axes: of the mesh; several are tried of each size if None.
        step: of `abstract.STEPS`.
        sizes: of the global batch, to be tried each.

    Raises:
        V2SError: mesh, batch and machine do not fit each other.
    """
    config = experiment.config
    stage = f", stage {config.train.stage}" if config.train.stage else ""
    kind = {"train": "Training step", "synthesize": "Synthesis"}[step]
    print(f"{kind} of {config.system.name}{stage}: {max(config.data.buckets)} frames, {config.precision.compute}")
    print(machine, flush=True)
    tried = [(rows, own) for rows in sizes for own in ([axes] if axes else meshes_to_try(len(machine.devices), rows))]
    costs = [measure(experiment, machine, own, step, rows) for rows, own in tried]
    best = recommend(costs)
    print(report.table(costs, machine.chip.flops if machine.chip else None))
    mesh = ",".join(f"{axis}={size}" for axis, size in best.mesh.items())
    print(f"Recommended: --mesh {mesh} with a batch of {best.rows}." if len(costs) > 1 else f"Mesh {mesh}.")
    print(report.details(best))
    print(report.verdict(best), flush=True)
    return costs, best
