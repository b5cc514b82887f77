"""Where a run's first weights come from when it does not start from nothing: fine-tuning and later stages."""

from pathlib import Path
from typing import cast

import jax
from flax import nnx

from v2s_jax.errors import V2SError
from v2s_jax.systems.pretrained import read_pretrained
from v2s_jax.training.checkpoint import FOLDER, differences, read_weights
from v2s_jax.training.paths import Tree, flatten, map_paths
from v2s_jax.training.state import State, split_system


def initial_weights(source: str) -> tuple[Tree, Tree]:
    """Parameters and statistics of a training workdir (averaged, of its best checkpoint) or an exported folder.

    Raises:
        V2SError: it is neither, or damaged.
    """
    if (Path(source) / FOLDER).is_dir():
        _, params, stats = read_weights(source)
        return params, stats
    _, system = read_pretrained(source)
    _, params, stats = split_system(cast(nnx.Module, system))
    return params, stats


def start_from(state: State, source: str, shardings: State) -> State:
    """A fresh state with the weights of `source`; its averages start from them.

    Args:
        state: from `create_state`.
        source: `config.train.init_from`.
        shardings: of the state.

    Raises:
        V2SError: the weights are not those of this system.
    """
    params, stats = initial_weights(source)
    here, there = (
        {path: str(tuple(leaf.shape)) for tree in trees for path, leaf in flatten(tree).items()}
        for trees in ((state["params"], state["stats"]), (params, stats))
    )
    if changed := differences(there, here, "weights"):
        raise V2SError(
            f"train.init_from {source} holds a model of another config ({'; '.join(changed[:5])}): "
            "use the system settings it was trained with."
        )
    weights = flatten(params)
    averages = map_paths(lambda path, average: weights[path].astype(average.dtype), state["ema"])
    fresh = {"params": params, "stats": stats, "ema": averages}
    return state | jax.device_put(fresh, {name: shardings[name] for name in fresh})
