"""A model with its vocoder as StableHLO: one program for each length, any batch size where the model allows it."""

import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import v2s_jax
from v2s_jax.constants import HOP_LENGTH, LOG_CEILING, LOG_FLOOR, MEL_PER_FRAME, SAMPLE_RATE, SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.interop.stablehlo import ABOUT, FORMAT, WEIGHTS
from v2s_jax.models.settings import CARD
from v2s_jax.synthesis.neural_vocoder import NeuralVocoder
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.systems.base import frame_mask

PLATFORMS = ("cpu", "cuda", "tpu")
_BY_FRAME = ("mouth", "expression", "audio", "draft")  # inputs that grow with a clip


def write_stablehlo(
    folder: Path, synthesizer: Synthesizer, card: str, frames: Sequence[int] = (), rows: int | None = None
) -> dict[str, Any]:
    """Writes programs, weights and what is known of them into a folder, which appears whole or not at all.

    Args:
        folder: must not exist yet, or be empty.
        synthesizer: of the model.
        card: Markdown for people.
        frames: lengths of programs; the model's ladder by default.
        rows: of their batches; any number by default, or one at a time where the model needs to know.

    Returns:
        What was written into `speech.json`.

    Raises:
        V2SError: the folder cannot be written.
    """
    network, vocoder = synthesizer.network, synthesizer.vocoder
    heard = isinstance(vocoder, NeuralVocoder) if synthesizer.kind == "mel" else True
    weights: Any = {"network": network.weights}
    if synthesizer.kind == "mel" and isinstance(vocoder, NeuralVocoder):
        weights["vocoder"] = vocoder.weights
    leaves, structure = jax.tree.flatten(weights)
    example = synthesizer.example(max(network.rungs[0], 25))
    speak = _speaking(synthesizer, structure, heard)
    rungs, sizes = sorted(set(frames) or set(network.rungs)), example["mouth"].shape[1]
    rows, programs = _programs(speak, leaves, example, rungs, dict(network.knobs), rows)
    about = {
        "format": FORMAT,
        "frames": rungs,
        "rows": rows,
        "inputs": {name: [_row_shape(name, value, sizes), str(value.dtype)] for name, value in example.items()},
        "knobs": dict(network.knobs),
        "sample_rate": SAMPLE_RATE,
        "waveform": heard,
        "platforms": list(PLATFORMS),
        "made_with": f"v2s_jax {v2s_jax.__version__}, jax {jax.__version__}",
    }
    packed = io.BytesIO()
    arrays: Any = {f"{index:05}": np.asarray(leaf) for index, leaf in enumerate(leaves)}
    np.savez(packed, **arrays)
    files = {f"frames-{rung}.stablehlo": bytes(program) for rung, program in programs.items()}
    files |= {WEIGHTS: packed.getvalue(), ABOUT: json.dumps(about, indent=1).encode(), CARD: card.encode()}
    _write(folder, files)
    return about


def _speaking(synthesizer: Synthesizer, structure: Any, heard: bool) -> Any:
    """The function that is exported: of weights, inputs, seed and knobs, to waveform and mel."""
    network, vocoder, contrast = synthesizer.network, synthesizer.vocoder, synthesizer.settings.contrast

    def speak(
        leaves: list[jax.Array], inputs: dict[str, jax.Array], seed: jax.Array, knobs: dict[str, jax.Array]
    ) -> Any:
        weights = jax.tree.unflatten(structure, leaves)
        rows, _ = network.run(weights["network"], Batch(**inputs), jax.random.key(seed), knobs or None)
        length = inputs["length"]
        if synthesizer.kind == "waveform":
            return _turned_down(rows), log_mel_jax(rows)
        mel = _sharpened(rows, length, contrast)
        if not heard or not isinstance(vocoder, NeuralVocoder):
            return None, mel
        wave = vocoder.run(weights["vocoder"], jnp.minimum(mel, 2 * LOG_CEILING), MEL_PER_FRAME * length)
        inside = frame_mask(SAMPLES_PER_FRAME * length, HOP_LENGTH * mel.shape[1])
        return _turned_down(jnp.where(inside, wave[:, : HOP_LENGTH * mel.shape[1]], 0)), mel

    return speak


def _sharpened(mel: jax.Array, length: jax.Array, contrast: float) -> jax.Array:
    """As `vocoder.sharpen`, of each row's own frames."""
    if contrast == 1:
        return mel
    mask = frame_mask(MEL_PER_FRAME * length, mel.shape[1])[..., None]
    mean = jnp.sum(jnp.where(mask, mel, 0), 1, keepdims=True) / jnp.maximum(MEL_PER_FRAME * length, 1)[:, None, None]
    return jnp.where(mask, jnp.maximum(mean + contrast * (mel - mean), LOG_FLOOR), LOG_FLOOR)


def _turned_down(wave: jax.Array) -> jax.Array:
    return wave / jnp.maximum(1.0, jnp.max(jnp.abs(wave), 1, keepdims=True))


def _programs(
    speak: Any,
    leaves: list,
    example: dict[str, np.ndarray],
    rungs: list[int],
    knobs: dict[str, float],
    rows: int | None,
) -> tuple[int | None, dict[int, bytearray]]:
    """The number of rows if it is fixed, and the program of each length."""
    sizes = example["mouth"].shape[1]

    def exported(rung: int, count: Any) -> bytearray:
        inputs = {
            name: jax.ShapeDtypeStruct((count, *_row_sizes(name, value, sizes, rung)), value.dtype)
            for name, value in example.items()
        }
        scalars = {name: jax.ShapeDtypeStruct((), np.float32) for name in knobs}
        seed = jax.ShapeDtypeStruct((), np.uint32)
        shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
        return export.export(jax.jit(speak), platforms=PLATFORMS)(shapes, inputs, seed, scalars).serialize()

    if rows is not None:
        return rows, {rung: exported(rung, rows) for rung in rungs}
    try:
        return None, {rung: exported(rung, export.symbolic_shape("b")[0]) for rung in rungs}
    except Exception:  # jax has many words for a batch size that must be a number
        return 1, {rung: exported(rung, 1) for rung in rungs}


def _row_sizes(name: str, value: np.ndarray, frames: int, rung: int) -> tuple[int, ...]:
    """The shape of a row of so many frames, for a program of a rung's."""
    first, *others = value.shape[1:] or (None,)
    return () if first is None else (rung * (first // frames) if name in _BY_FRAME else first, *others)


def _row_shape(name: str, value: np.ndarray, frames: int) -> list[int | str]:
    """The shape of a row, lengths in time as so many to a frame."""
    shape: list[int | str] = list(value.shape[1:])
    return [f"{value.shape[1] // frames}*T", *shape[1:]] if name in _BY_FRAME else shape


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        for name, content in files.items():
            (made / name).write_bytes(content)
        made.chmod(0o755)
        made.replace(folder)
    except OSError as error:
        raise V2SError(f"{folder}: cannot be written ({error.strerror}); name a new or an empty folder") from error
