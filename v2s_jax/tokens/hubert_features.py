"""What a layer of HuBERT gives for a clip, two rows to a video frame: see `features/units.py` for where they are."""

import hashlib
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from v2s_jax.constants import SAMPLES_PER_FRAME, UNITS_PER_FRAME
from v2s_jax.errors import V2SError
from v2s_jax.features.units import BEYOND
from v2s_jax.interop.hubert import load_hubert
from v2s_jax.models.folder import flat_weights
from v2s_jax.models.hubert import count_frames, normalise_waveform

# Clips are padded to a multiple of so many video frames, long ones of so many more, lest each length be compiled.
_STEP, _LONG_STEP = 25, 250


class HubertFeatures:
    """A layer of a HuBERT; a clip gives what it gives alone, whatever it is padded to. Safe in threads.

    Args:
        path: an imported folder or a published file.
        layer: from 1.

    Attributes:
        width: numbers in a row.
        about: what the rows depend on, in JSON's kinds.

    Raises:
        V2SError: there is no such HuBERT, it has fewer layers, or other than 50 rows a second.
    """

    def __init__(self, path: str | os.PathLike, layer: int):
        self._model, _ = load_hubert(path)
        config = self._model.config
        if not 1 <= layer <= config.layers:
            raise V2SError(f"{path}: has the layers 1 to {config.layers}, but --layer is {layer}")
        if any(count_frames(n * SAMPLES_PER_FRAME + BEYOND, config.convs) != n * UNITS_PER_FRAME for n in (1, 2)):
            raise V2SError(f"{path}: does not give a row every 20 ms, as units need")
        self._layer, self._normalise, self.width = layer, config.normalise, int(config.width)
        digest = hashlib.sha256()
        for name, value in sorted(flat_weights(self._model.module).items()):
            digest.update(name.encode() + np.asarray(value).tobytes())
        self.about = {"feature": "hubert", "layer": layer, "hubert": Path(path).name}
        self.about["weights"] = digest.hexdigest()[:12]

    def __call__(self, wave: Float[np.ndarray, "samples"]) -> Float[np.ndarray, "units D"]:
        """The rows of a waveform in [-1, 1] at 16 kHz, 640 samples to each video frame."""
        frames = len(wave) // SAMPLES_PER_FRAME
        step = _STEP if frames <= _LONG_STEP else _LONG_STEP
        total = -(-frames // step) * step * SAMPLES_PER_FRAME + BEYOND
        padded = jnp.asarray(np.pad(wave.astype(np.float32), (0, total - len(wave))))[None]
        place = np.arange(total)[None]
        if self._normalise:
            padded = normalise_waveform(padded, jnp.asarray(place >= len(wave)))
        beyond = place >= len(wave) + BEYOND
        rows = self._model(waveform=padded, padding_mask=beyond, layer=self._layer, exact_padding=True)
        return np.asarray(rows[0, : UNITS_PER_FRAME * frames], np.float32)
