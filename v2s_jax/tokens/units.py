"""Units for a data set: what is clustered, the codebook (given, or fitted on the data set), and their ids."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from v2s_jax.constants import SAMPLES_PER_FRAME, UNITS_PER_FRAME
from v2s_jax.data.metadata import METADATA_FILE, read_metadata
from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.data.tokens import Tagger
from v2s_jax.errors import V2SError
from v2s_jax.features import kmeans
from v2s_jax.features.mfcc import N_MFCC
from v2s_jax.features.units import BEYOND, Codebook, load_codebook, mfcc_features, save_codebook
from v2s_jax.progress import progress

CODEBOOK_FILE = "codebook.safetensors"
FIT_FRAMES = 2_000_000  # 11 hours of speech: more does not move a few hundred centroids
_SPLIT = "train"
_STEP = 25  # video frames that clips are padded to a multiple of for HuBERT, so that few programs are compiled
_LONG = 250  # from here on to a multiple of so many


class Features(NamedTuple):
    """What units are clusters of.

    Attributes:
        compute: from a waveform of 640 samples to a video frame to two rows to a frame.
        width: numbers in a row.
        about: what they depend on, in JSON's kinds.
    """

    compute: Callable[[np.ndarray], np.ndarray]
    width: int
    about: Mapping[str, Any]


class HubertFeatures:
    """A layer of a HuBERT for every 20 ms; a clip gives what it gives alone, whatever it is padded to.

    Args:
        path: an imported folder or a published file.
        layer: from 1.

    Attributes:
        width: numbers in a row.
        about: `weights` is a fingerprint that changes with them.

    Raises:
        V2SError: there is no such HuBERT, it has fewer layers, or other than 50 rows a second.
    """

    def __init__(self, path: str, layer: int):
        from v2s_jax.interop import load_hubert  # the model stack, for these units alone
        from v2s_jax.models.hubert import count_frames, normalise_waveform

        self._model, _ = load_hubert(path)
        config = self._model.config
        if not 1 <= layer <= config.layers:
            raise V2SError(f"{path}: has layers 1 to {config.layers}; --layer is {layer}")
        if count_frames(SAMPLES_PER_FRAME + BEYOND, config.convs) != UNITS_PER_FRAME:
            raise V2SError(f"{path}: does not give a row every 20 ms, as units need")
        self._layer, self._normalise = layer, normalise_waveform if config.normalise else None
        self.width = int(config.width)
        self.about = {"hubert": Path(path).name, "weights": _fingerprint(self._model.module)}

    def __call__(self, wave: Float[np.ndarray, "samples"]) -> Float[np.ndarray, "units D"]:
        """The rows of a waveform in [-1, 1] at 16 kHz, 640 samples to each video frame."""
        frames = len(wave) // SAMPLES_PER_FRAME
        row = wave[None].astype(np.float32)
        row = row if self._normalise is None else np.asarray(self._normalise(row))
        step = _STEP if frames <= _LONG else _LONG
        room = -(-frames // step) * step * SAMPLES_PER_FRAME
        padded = np.pad(row, ((0, 0), (0, room + BEYOND - len(wave))))
        beyond = np.arange(room + BEYOND)[None] >= len(wave) + BEYOND
        found = self._model(waveform=padded, padding_mask=beyond, layer=self._layer, exact_padding=True)
        return np.asarray(found[0, : UNITS_PER_FRAME * frames], np.float32)
