"""The batches of an experiment: what its system reads of its data set, checked before the first step."""

from typing import Any

from ml_collections import ConfigDict

from v2s_jax.data.augment import Augment
from v2s_jax.data.loader import Loader, LoaderConfig
from v2s_jax.data.metadata import read_metadata
from v2s_jax.errors import V2SError


def open_loader(config: ConfigDict, split: str, system: Any) -> Loader:
    """The loader of one split with the batch fields that the system reads, in rows grouped as it wants them.

    Raises:
        V2SError: no such data, or it has more kinds of units than the system.
    """
    settings = {name: value for name, value in config.data.items() if name not in ("path", "augment")}
    loader_config = LoaderConfig(augment=Augment(**config.data.augment), **settings)
    if clusters := getattr(system, "clusters", None):
        check_units(config.data.path, clusters)
    return Loader(config.data.path, split, loader_config, config.seed, system.fields, getattr(system, "utterances", 1))


def check_units(path: str, clusters: int) -> None:
    """Makes sure that no unit of a data set (or of several, joined by commas) is beyond a system's table.

    Raises:
        V2SError: one may be: a loss would read beyond the table, and be no number.
    """
    for folder in path.split(","):
        made = read_metadata(folder).recipe.get("tokens", {}).get("units", {}).get("clusters", 0)
        if made > clusters:
            raise V2SError(
                f"{folder} has units of {made} clusters, but the system knows {clusters}: "
                f"set the system's number to {made}, or run v2s-jax prepare tokens with --clusters {clusters}"
            )
