"""Discrete speech units: 50 clusters' ids a second, of MFCCs or of what a layer of HuBERT gives.

Two units go to a video frame, exactly. Unit j is of the 25 ms that begin at sample 320 j, which is what frame j of
HuBERT looks at, and so does every second one of the MFCCs that are computed every 10 ms; HuBERT (Hsu et al. 2021, arXiv
2106.07447) was trained on every second MFCC cluster, too. A clip's last unit would look 80 samples beyond its end; it
finds zeros there.
"""

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int16
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from v2s_jax.constants import MEL_PER_FRAME, SAMPLES_PER_FRAME, UNITS_PER_FRAME
from v2s_jax.errors import V2SError
from v2s_jax.features.kmeans import distances
from v2s_jax.features.mfcc import FRAME, mfcc
from v2s_jax.media.atomic import replacing

BEYOND = FRAME - SAMPLES_PER_FRAME // UNITS_PER_FRAME  # samples after its end that a clip's last unit looks at
MOST_UNITS = int(np.iinfo(np.int16).max) + 1  # ids that a record can hold
_INFO = "codebook"  # key in the file's metadata


@dataclasses.dataclass(frozen=True)
class Codebook:
    """Centroids and what they are of.

    Attributes:
        centroids: one a row, float32.
        info: `feature` ("mfcc" or "hubert") and `layer`, how they were fitted, in JSON's kinds; empty if not known.
    """

    centroids: Float[np.ndarray, "K D"]
    info: Mapping[str, Any]

    def __call__(self, features: Float[np.ndarray, "m D"]) -> Int16[np.ndarray, "m"]:
        """The nearest centroid of each frame, the first of several that are as near."""
        return distances(features, self.centroids).argmin(1).astype(np.int16)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with the centroids."""
        return hashlib.sha256(self.centroids.tobytes()).hexdigest()[:12]


def mfcc_features(wave: Float[np.ndarray, "samples"]) -> Float[np.ndarray, "units 39"]:
    """MFCCs at 50 Hz, two to a video frame.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz, 640 samples to each video frame.
    """
    return mfcc(np.pad(wave, (0, BEYOND)))[:: MEL_PER_FRAME // UNITS_PER_FRAME]


def save_codebook(path: str | os.PathLike, codebook: Codebook) -> None:
    """Writes centroids and info as one safetensors file, whole or not at all."""
    with replacing(Path(path)) as file:
        metadata = {_INFO: json.dumps(dict(codebook.info), sort_keys=True)}
        file.write(save({"centroids": codebook.centroids}, metadata))


def load_codebook(path: str | os.PathLike) -> Codebook:
    """Reads what `save_codebook` wrote, or bare centroids [K, D] as `.npy` or as `centroids` in an `.npz`.

    K-means models that fairseq and scikit-learn publish are joblib files, that is pickles, which run code when they are
    read: those are refused.

    Raises:
        V2SError: the file is missing or damaged, or holds no centroids.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise V2SError(
            f"{path}: not a codebook that can be read; expected .safetensors, .npy or .npz. K-means models saved by "
            "joblib or pickle run code when they are read: where you trust one, convert it by "
            "numpy.save('codebook.npy', joblib.load(FILE).cluster_centers_)"
        )
    try:
        centroids, info = _READERS[path.suffix](path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise V2SError(f"{path}: not readable as a codebook ({error}); expected an array centroids [K, D]") from error
    return Codebook(_checked(centroids, path), info if isinstance(info, dict) else {})


def _read_safetensors(path: Path) -> tuple[np.ndarray, Any]:
    with safe_open(path, "numpy") as file:
        return file.get_tensor("centroids"), json.loads((file.metadata() or {}).get(_INFO, "{}"))


def _read_numpy(path: Path) -> tuple[np.ndarray, Any]:
    with open(path, "rb") as file:
        found = np.load(file, allow_pickle=False)
        return (found if isinstance(found, np.ndarray) else found["centroids"]), {}


_READERS: dict[str, Callable[[Path], tuple[np.ndarray, Any]]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_numpy,
    ".npy": _read_numpy,
}


def _checked(centroids: Any, path: Path) -> np.ndarray:
    """The centroids in float32.

    Raises:
        V2SError: they are not a matrix of finite numbers, or too many.
    """
    if centroids.ndim != 2 or not len(centroids) or centroids.dtype.kind != "f":
        raise V2SError(
            f"{path}: centroids are {centroids.dtype} of shape {centroids.shape}; expected floats of shape [K, D]"
        )
    if len(centroids) > MOST_UNITS:
        raise V2SError(f"{path}: has {len(centroids)} centroids; records hold ids of {MOST_UNITS} at most")
    if not np.isfinite(centroids).all():
        raise V2SError(f"{path}: has centroids that are not finite")
    return np.ascontiguousarray(centroids, np.float32)
