"""What a run writes down of its clips, for the model to know when it speaks others."""

from ml_collections import ConfigDict

from v2s_jax.data.levels import measure
from v2s_jax.data.loader import Loader
from v2s_jax.systems.base import System, speaks


def with_levels(config: ConfigDict, system: System, training: Loader) -> ConfigDict:
    """The experiment with the brightness and contrast of its clips as `synthesis.levels`.

    It comes back as it is if it says them itself, `()` for none, or if its system does not speak.

    Args:
        config: of one stage.
        system: concrete or abstract.
        training: the clips that it learns from.

    Raises:
        V2SError: the data cannot be read.
    """
    section = config.get("synthesis", ConfigDict()).to_dict()
    if "levels" in section or not speaks(system) or not len(training.indices):
        return config
    known = ConfigDict(config.to_dict())
    known.synthesis = {**section, "levels": tuple(measure(training.dataset, indices=training.indices))}
    return known
