"""Brightness and contrast of mouth crops brought to what a model saw in training.

A model that has only ever seen one lamp says nothing in half of its light, and nearly all again once the grey levels
are stretched back.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from v2s_jax.data.mixture import Mixture
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.errors import V2SError

_BLOCK = 1024  # frames looked at together
_LEVELS = np.arange(256)


def look_up(mouth: UInt8[np.ndarray, "T 96 96"], levels: Sequence[float]) -> UInt8[np.ndarray, "256"] | None:
    """What each grey level of a clip is to become, or None where the clip is as those seen in training.

    Mean and standard deviation of its pixels go to the nearest ones that training knew.

    Args:
        mouth: crops of the whole clip.
        levels: least and greatest mean, least and greatest standard deviation of clips in training; empty: all are.
    """
    if not levels or not len(mouth):
        return None
    counts = sum(np.bincount(mouth[at : at + _BLOCK].ravel(), minlength=256) for at in range(0, len(mouth), _BLOCK))
    mean, deviation = _moments(np.asarray(counts))
    least, most, flattest, steepest = levels
    wanted, spread = np.clip(mean, least, most), np.clip(deviation, flattest, steepest)
    if (wanted, spread) == (mean, deviation):
        return None
    turned = (_LEVELS - mean) * (spread / max(deviation, 1e-6)) + wanted
    return np.clip(np.rint(turned), 0, 255).astype(np.uint8)


def measure(
    dataset: ShardedDataset | Mixture,
    clips: int = 200,
    margin: float = 0.1,
    indices: Int[np.ndarray, "n"] | None = None,
) -> list[float]:
    """The `levels` of a data set's clips, from as many of them, evenly spread.

    Args:
        dataset: that a model is trained on.
        clips: how many to look at, at most.
        margin: share of each range that is added on either side, for those not looked at.
        indices: of the records that it is trained on; all if None.

    Raises:
        V2SError: it has no mouth crops.
    """
    own = np.arange(len(dataset)) if indices is None else indices
    places = np.unique(own[np.linspace(0, len(own) - 1, min(clips, len(own))).astype(int)])
    mouths = (dataset.read(int(place), ("mouth",)).mouth for place in places)
    found = np.array([_moments(np.bincount(m.ravel(), minlength=256)) for m in mouths if m is not None])
    if not len(found):
        raise V2SError(f"{dataset.path} has no mouth crops: name a data set of clips with video")
    low, high = found.min(0), found.max(0)
    reach = margin * (high - low)
    return [round(float(end), 1) for ends in zip(low - reach, high + reach, strict=True) for end in ends]


def _moments(counts: np.ndarray) -> Float[np.ndarray, "2"]:
    """Mean and standard deviation of pixels by how many there are of each level."""
    mean = float(counts @ _LEVELS) / counts.sum()
    return np.array([mean, np.sqrt(float(counts @ (_LEVELS - mean) ** 2) / counts.sum())])
