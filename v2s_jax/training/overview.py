"""The table of a run's parameters: what there is, how wide, and whether it trains."""

from v2s_jax.training.optimizer import count
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import Player, State


def overview(state: State, players: list[Player]) -> str:
    """One line a parameter or statistic: path, shape, dtype, its player and rate (or frozen); totals at the end.

    Args:
        state: concrete or abstract.
        players: as given to `create_state`.
    """
    actions = {path: action for player in players for path, action in player.actions.items()}
    rows = [("parameter", "shape", "dtype", "trains")]
    for kind in ("params", "stats"):
        for path, leaf in flatten(state[kind]).items():
            action = actions.get(path)
            trains = "frozen" if action is None else f"{action.player} x{action.multiplier:g}"
            rows.append((path, "x".join(map(str, leaf.shape)) or "scalar", str(leaf.dtype), trains))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, totals(state, players)])


def totals(state: State, players: list[Player]) -> str:
    """One line such as `27,300,000 parameters, 1,000 of them trained`."""
    trained = sum(count(player.own(state["params"])) for player in players)
    return f"{count(state['params']):,} parameters, {trained:,} of them trained"
