"""Mini-batch k-means (Sculley 2010, as in scikit-learn) over any number of frames, in bounded memory."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from v2s_jax.errors import V2SError

BATCH = 10_000  # frames to an update, as in HuBERT's code
POOL = 13  # batches held in memory, from which the centroids start: 43 minutes at 50 Hz, 0.4 GB of 768 numbers each
_STARTS = 5  # how many k-means++ starts are compared
_PATIENCE = 100  # updates without improvement after which a start is done, as in HuBERT's code


class Clusters(NamedTuple):
    """What was found.

    Attributes:
        centroids: one a row.
        inertia: mean squared distance to the nearest centroid, over the pool.
        frames: how many were seen.
    """

    centroids: Float[np.ndarray, "K D"]
    inertia: float
    frames: int


def fit(frames: Iterable[np.ndarray], clusters: int, seed: int = 0, batch: int = BATCH, pool: int = POOL) -> Clusters:
    """Centroids of a stream of frames that come in random order, such as clip by clip of a shuffled data set.

    The first `pool` batches are clustered from k-means++ starts until nothing improves. If there are more, the
    centroids then become running means of all frames that were nearest to them when they came. As in HuBERT's code, no
    cluster is begun anew.

    Args:
        frames: arrays [m, D], any number of them, read once.
        clusters: how many.
        seed: of the starts, and of the order within the pool.
        batch: frames to an update.
        pool: how many batches to hold at once.

    Returns:
        The centroids in float32; the same for the same frames and seed.

    Raises:
        V2SError: the pool has fewer frames than there are to be clusters.
    """
    from sklearn.cluster import MiniBatchKMeans  # only here: it takes a second to load

    rest = batches(frames, batch)
    held = list(itertools.islice(rest, pool))
    sample = np.concatenate(held) if held else np.zeros((0, 1), np.float32)
    if len(sample) < clusters:
        raise V2SError(f"{len(sample)} frames cannot make {clusters} clusters; ask for fewer, or give more speech")
    settings: dict[str, Any] = {"batch_size": batch, "reassignment_ratio": 0.0, "random_state": seed}
    start = MiniBatchKMeans(clusters, n_init=_STARTS, max_no_improvement=_PATIENCE, **settings).fit(sample)
    centroids, seen = start.cluster_centers_, len(sample)
    more = next(rest, None)
    if more is not None:
        running = MiniBatchKMeans(clusters, init=centroids, n_init=1, compute_labels=False, **settings)
        seen = 0
        for part in itertools.chain(held, [more], rest):
            running.partial_fit(part)
            seen += len(part)
        centroids = running.cluster_centers_
    centroids = np.ascontiguousarray(centroids, np.float32)
    inertia = sum(float(distances(part, centroids).min(1).sum()) for part in held) / len(sample)
    return Clusters(centroids, inertia, seen)


def batches(frames: Iterable[np.ndarray], size: int) -> Iterator[Float[np.ndarray, "m D"]]:
    """The same frames, in float32 arrays of `size` frames; the last has what is left."""
    waiting: list[np.ndarray] = []
    count = 0
    for part in frames:
        waiting.append(np.asarray(part, np.float32))
        count += len(part)
        while count >= size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(waiting)


def distances(x: Float[np.ndarray, "m D"], centroids: Float[np.ndarray, "K D"]) -> Float[np.ndarray, "m K"]:
    """Squared distance of every frame to every centroid, by one matrix product in float64."""
    x, centroids = x.astype(np.float64), centroids.astype(np.float64)
    return (x * x).sum(1)[:, None] - 2 * x @ centroids.T + (centroids * centroids).sum(1)[None]
