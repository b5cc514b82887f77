"""Exported speech as compiled-anywhere programs: runs what `v2s-jax export --format stablehlo` wrote with jax alone.

speak = v2s_jax.interop.stablehlo.load("models/talker")
waveform, log_mel = speak(mouth, length)

Nothing of this package's models is needed; this file may be copied out of it.
"""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

ABOUT, WEIGHTS, FORMAT = "speech.json", "weights.npz", 1


class Speaker:
    """An exported model.

    Args:
        folder: of the export.

    Attributes:
        about: what `speech.json` says: inputs with their shapes and dtypes, lengths that there are programs for, knobs
            of the sampler and their values, sample rate.

    Raises:
        OSError: a file is missing.
        ValueError: the folder is of another format.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder = Path(folder)
        self.about: dict[str, Any] = json.loads((self._folder / ABOUT).read_text("utf-8"))
        if self.about.get("format") != FORMAT:
            raise ValueError(f"{self._folder}: format {self.about.get('format')!r}, expected {FORMAT}; export it again")
        with np.load(self._folder / WEIGHTS) as file:
            self._weights = [jax.device_put(file[name]) for name in sorted(file.files)]

    def __call__(
        self,
        mouth: np.ndarray,
        length: np.ndarray,
        seed: int = 0,
        knobs: Mapping[str, float] | None = None,
        **others: np.ndarray,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Speech for a batch of clips.

        Args:
            mouth: grey mouth crops, uint8 [B, T, 88, 88], zeros behind each clip's end. T is at most the longest length
                of `about["frames"]`; longer clips are cut into windows by the caller.
            length: frames of each clip, int32 [B], at 25 a second.
            seed: of models that sample.
            knobs: of the sampler, in place of the values in `about["knobs"]`.
            **others: what else `about["inputs"]` names; [B, T, ...] inputs as `mouth`.

        Returns:
            Waveform [B, 640 T] (None of a model exported without a vocoder), and natural-log mel [B, 4 T, 80].

        Raises:
            ValueError: an input is missing or not of its shape, there is no such knob, or the clips are too long.
        """
        rows, frames = mouth.shape[:2]
        rung = next((n for n in self.about["frames"] if n >= frames), None)
        if rung is None:
            raise ValueError(f"clips of {frames} frames; the longest program is for {self.about['frames'][-1]}")
        given = {"mouth": mouth, "length": length, **others}
        if given.keys() != self.about["inputs"].keys():
            raise ValueError(f"expected the inputs {', '.join(self.about['inputs'])}; got {', '.join(given)}")
        settings = self.about["knobs"] | dict(knobs or {})
        if settings.keys() != self.about["knobs"].keys():
            raise ValueError(
                f"the sampler knows {', '.join(self.about['knobs']) or 'nothing'}; got {', '.join(settings)}"
            )
        step = self.about["rows"] or rows
        found = [
            self._run(rung, {name: value[at : at + step] for name, value in given.items()}, seed, settings)
            for at in range(0, rows, step)
        ]
        waves, mels = [wave for wave, _ in found if wave is not None], [mel for _, mel in found]
        cut = np.concatenate(waves)[:rows, : 640 * frames] if waves else None
        return cut, np.concatenate(mels)[:rows, : 4 * frames]

    def _run(
        self, rung: int, given: dict[str, np.ndarray], seed: int, knobs: Mapping[str, float]
    ) -> tuple[np.ndarray | None, np.ndarray]:
        rows = self.about["rows"] or len(given["length"])
        inputs = {name: _fitted(name, value, rows, rung, *self.about["inputs"][name]) for name, value in given.items()}
        settings = {name: np.float32(value) for name, value in knobs.items()}
        wave, mel = self._program(rung)(self._weights, inputs, np.uint32(seed), settings)
        return None if wave is None else np.asarray(wave), np.asarray(mel)

    @functools.cache  # noqa: B019 (a speaker lives as long as its programs)
    def _program(self, rung: int) -> Any:
        data = bytearray((self._folder / f"frames-{rung}.stablehlo").read_bytes())
        return jax.jit(export.deserialize(data).call)


def load(folder: str | os.PathLike) -> Speaker:
    """The model of a folder; errors as of `Speaker`."""
    return Speaker(folder)


def _fitted(name: str, value: np.ndarray, rows: int, frames: int, shape: list[Any], dtype: str) -> np.ndarray:
    """An input as its program takes it: zeros behind it, and in rows that are missing.

    Args:
        name: of the input.
        value: what is given.
        rows: of the batch.
        frames: of the program.
        shape: of a row: numbers, or "4*T" for so many to a frame.
        dtype: of the program's input.
    """
    sizes = [frames * int(size.split("*")[0]) if isinstance(size, str) else size for size in shape]
    value = np.asarray(value)
    exact = [mine for mine, size in zip(value.shape[1:], shape, strict=False) if isinstance(size, int)]
    if value.ndim != len(shape) + 1 or exact != [size for size in shape if isinstance(size, int)]:
        raise ValueError(f"{name} is {list(value.shape)}; expected [B, {', '.join(map(str, shape))}]")
    fitted = np.zeros((rows, *sizes), dtype)
    if name == "face_embedding" or name == "speaker_embedding":
        fitted[:] = value[:1]  # rows that are padding, too, have a norm
    fitted[tuple(slice(0, size) for size in value.shape)] = value
    return fitted
