"""The table of a run's parameters: what there is, how wide, whether it trains, and what of it each device holds."""

from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from v2s_jax.training.mesh import parameter_rule
from v2s_jax.training.optimizer import count
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import Player, State


def overview(
    state: State, players: list[Player], mesh: Mesh | AbstractMesh | None = None, config: ConfigDict | None = None
) -> str:
    """One line a parameter or statistic; totals at the end.

    It says path, shape, dtype, player and rate (or frozen), and with a mesh the rule that splits it and the shape of
    what each device holds.

    Args:
        state: concrete or abstract.
        players: as given to `create_state`.
        mesh: the devices.
        config: `mesh` section that they come from.
    """
    actions = {path: action for player in players for path, action in player.actions.items()}
    rows: list[tuple[str, ...]] = [("parameter", "shape", "dtype", "trains")]
    if mesh is not None:
        rows = [(*rows[0], "shard", "rule")]
    for kind in ("params", "stats"):
        for path, leaf in flatten(state[kind]).items():
            action = actions.get(path)
            trains = "frozen" if action is None else f"{action.player} x{action.multiplier:g}"
            row: tuple[str, ...] = (path, _shape(leaf.shape), str(leaf.dtype), trains)
            if mesh is not None and config is not None:
                rule, spec = (
                    ("", PartitionSpec()) if kind == "stats" else parameter_rule(path, leaf.shape, mesh, config)
                )
                row = (*row, _shape(NamedSharding(mesh, spec).shard_shape(leaf.shape)), rule)
            rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, totals(state, players)])


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def totals(state: State, players: list[Player]) -> str:
    """One line such as `27,300,000 parameters, 1,000 of them trained`."""
    trained = sum(count(player.own(state["params"])) for player in players)
    return f"{count(state['params']):,} parameters, {trained:,} of them trained"
