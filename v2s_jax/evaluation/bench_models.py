"""`v2s-jax bench models`: forward pass and training step of every model, beside PyTorch in the same process if it can.

Clips are three seconds long, weights random, and the same on both sides. Ours and theirs take turns, each after a call
that is not counted, so that a noisy machine disturbs both, and what is printed beside the times is the median of each
pair's ratio. Arithmetic is counted by the compiler and set against the rate at which this machine multiplies matrices.
"""

import functools
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models import avhubert, hifigan, hubert, speaker, spectral
from v2s_jax.models import registry as models
from v2s_jax.models.compiling import compiler_options
from v2s_jax.models.folder import write_folder
from v2s_jax.models.inference import Inference
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import av2a, av2a_wavegan, svts
from v2s_jax.systems import hifigan as hifigan_system
from v2s_jax.systems import registry as systems
from v2s_jax.training.defaults import default_config
from v2s_jax.training.state import create_state, make_players
from v2s_jax.training.step import make_train_step

Call = Callable[[], Any]

SECONDS = 3
FORWARD_ROWS = (1, 8)
TRAINING_ROWS = 2
GAN_FRAMES, GAN_ROWS = 13, 4  # half a second, as HiFi-GAN is trained
LEARNING_RATE = 1e-4
MATRIX = 1024  # rows and columns of the products that tell the machine's speed
LEAST_PAIRS = 3


class Case(NamedTuple):
    """A model to measure.

    Attributes:
        section: "model" or "system" of a folder's config.
        config: makes its settings.
        inputs: (rows, generator) -> our arguments, and theirs, as arrays.
        trained: the method that a training step differentiates, on both sides; "" if none is measured.
    """

    section: str
    config: Callable[[], ConfigDict]
    inputs: Callable[[int, np.random.Generator], tuple[tuple, tuple]]
    trained: str = "__call__"


class _Synthesis(nnx.Module):
    """A system, called as its twin in PyTorch is."""

    def __init__(self, system: Any):
        self.system = system

    def __call__(self, batch: Batch) -> jax.Array:
        return self.system.synthesize(batch, Rngs(0))


def _mouths(rows: int, rng: np.random.Generator) -> tuple[tuple, tuple]:
    mouth = rng.integers(0, 255, (rows, 25 * SECONDS, 88, 88), np.uint8)
    length = np.full(rows, 25 * SECONDS, np.int32)
    return (Batch(length=length, mouth=mouth),), (mouth, length)


def _wave_config() -> ConfigDict:
    """As it is exported; it drafts itself and refines once."""
    section = av2a_wavegan.default_config("S", "dropout")
    return av2a_wavegan.AV2AWaveGAN.handed_on(section)[0]


def _video(rows: int, rng: np.random.Generator) -> tuple[tuple, tuple]:
    return ((rng.standard_normal((rows, 25 * SECONDS, 88, 88, 1), np.float32),),) * 2


def _waves(rows: int, rng: np.random.Generator) -> tuple[tuple, tuple]:
    return ((rng.standard_normal((rows, 16_000 * SECONDS), np.float32),),) * 2


def _mels(rows: int, rng: np.random.Generator) -> tuple[tuple, tuple]:
    mel = rng.standard_normal((rows, 100 * SECONDS, 80), np.float32)
    return (mel,), (np.ascontiguousarray(mel.transpose(0, 2, 1)),)


def _speaker_mels(rows: int, rng: np.random.Generator) -> tuple[tuple, tuple]:
    return ((rng.uniform(size=(rows, 100 * SECONDS, speaker.SPEAKER_MELS)).astype(np.float32),),) * 2


CASES = {
    "svts": Case("system", lambda: svts.default_config("S"), _mouths),
    "av2a": Case("system", lambda: av2a.default_config("S", "dropout"), _mouths, trained=""),
    "av2a-wavegan": Case("system", _wave_config, _mouths, trained=""),
    "avhubert": Case("model", lambda: avhubert.default_config("base"), _video),
    "avhubert-large": Case("model", lambda: avhubert.default_config("large"), _video),
    "hubert": Case("model", lambda: hubert.default_config("base"), _waves),
    "hubert-large": Case("model", lambda: hubert.default_config("large"), _waves),
    "hifigan": Case("model", lambda: hifigan.default_config("16k"), _mels),
    "hifigan-small": Case("model", lambda: hifigan.default_config("small"), _mels),
    "spectral": Case("model", spectral.default_config, _mels, trained="log_magnitude"),
    "speaker": Case("model", lambda: speaker.default_config("published"), _speaker_mels),
}
BY_DEFAULT = [name for name in CASES if not name.endswith("-large")]
GANS = {"hifigan": "16k", "hifigan-small": "small"}  # the system whose training step is measured, and its size


def measure(names: list[str], scratch: Path, seconds: float) -> Iterator[tuple[str, float]]:
    """Figures by name, as they come.

    Args:
        names: of `CASES`.
        scratch: a folder for weights on their way to PyTorch.
        seconds: to spend on each figure, at least.

    Raises:
        V2SError: there is no such case.
    """
    if unknown := [name for name in names if name not in CASES]:
        raise V2SError(f"bench models knows no {unknown[0]!r}: choose from {', '.join(CASES)}")
    rate = matmul_rate(seconds)
    yield f"GFLOP/s of {MATRIX}x{MATRIX} matrix products", rate
    for name in names:
        case, config = CASES[name], CASES[name].config()
        build = systems.build if case.section == "system" else models.build
        module: Any = jax.jit(lambda build=build, config=config: build(config, Rngs(0)))()
        twin = _twin(case, config, module, scratch / name) if has_torch() else None
        speaking = _Synthesis(module) if case.section == "system" else module
        yield from _forward(name, Inference(speaking, config), twin, rate, seconds)
        yield from _training(name, module, twin, scratch, rate, seconds)


def _forward(name: str, ours: Inference, twin: Any, rate: float, seconds: float) -> Iterator[tuple[str, float]]:
    for rows in FORWARD_ROWS:
        own, foreign = CASES[name].inputs(rows, np.random.default_rng(0))
        theirs = twin.forward(foreign) if twin else None
        call = functools.partial(ours, *own)
        if theirs and rows == 1:
            difference = np.abs(np.squeeze(call()) - np.squeeze(theirs())).max()
            yield f"{name} forward: largest difference to torch", float(difference)
        yield from _figures(f"{name} forward, batch {rows}", call, theirs, ours.flops(*own), rate, seconds)


def _training(
    name: str, module: Any, twin: Any, scratch: Path, rate: float, seconds: float
) -> Iterator[tuple[str, float]]:
    if not CASES[name].trained:
        return
    if name in GANS:
        step, theirs, flops = gan_steps(GANS[name], scratch / f"{name}-gan")
    else:
        own, foreign = CASES[name].inputs(TRAINING_ROWS, np.random.default_rng(0))
        step, flops = training_step(module, own, CASES[name].trained)
        theirs = twin.step(foreign, CASES[name].trained) if twin else None
    yield from _figures(f"{name} training step", step, theirs, flops, rate, seconds)


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def matmul_rate(seconds: float) -> float:
    """Billions of operations a second of float32 matrix products, the best of many."""
    product = jax.jit(lambda a: a @ a)
    a = jnp.ones((MATRIX, MATRIX))
    product(a).block_until_ready()
    return 2e-9 * MATRIX**3 / min(_times(lambda: product(a), None, min(seconds, 1.0))[0])


def training_step(module: Any, inputs: tuple, method: str) -> tuple[Call, float]:
    """Forward, backward and an AdamW update for the mean square of what a method gives, in place; and its FLOPs."""
    trained = nnx.view(module, raise_if_not_found=False, deterministic=True)
    graphdef, *states = nnx.split(trained, nnx.Param, ...)
    own, rest = map(nnx.to_pure_dict, states)
    optimizer = optax.adamw(LEARNING_RATE)

    def step(params, opt_state, rest, inputs):
        def loss(params):
            return jnp.mean(jnp.square(getattr(nnx.merge(graphdef, params, rest), method)(*inputs).astype(jnp.float32)))

        value, gradients = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return value, optax.apply_updates(params, updates), opt_state

    # Copies, since the step overwrites what it is given.
    params = jax.tree.map(jnp.copy, own)
    state = [params, jax.jit(optimizer.init)(params)]
    program = (
        jax.jit(step, donate_argnums=(0, 1), compiler_options=compiler_options()).lower(*state, rest, inputs).compile()
    )

    def run():
        nonlocal state
        loss, *state = program(state[0], state[1], rest, inputs)
        return loss

    return run, _flops(program)


def gan_config(size: str) -> ConfigDict:
    """An experiment of the hifigan system of that size."""
    config = default_config()
    config.system = hifigan_system.default_config(size)
    config.ema.decay = 0.0
    config.optimizer.update({"clip_norm": 0.0, "weight_decay": 0.0, "b2": 0.999})  # the rest as PyTorch's AdamW has it
    config.optimizer.update({"learning_rate": LEARNING_RATE, "schedule": "constant"})
    return config


def gan_wave() -> np.ndarray:
    """Noise to train on, [rows, samples]."""
    return 0.1 * np.random.default_rng(0).standard_normal((GAN_ROWS, 640 * GAN_FRAMES), np.float32)


def gan_steps(size: str, folder: Path) -> tuple[Call, Call | None, float]:
    """Steps of both players of a hifigan system, ours as `v2s-jax train` makes them and theirs; and FLOPs of ours.

    Both begin with the same weights, which go to theirs through the folder.
    """
    config = gan_config(size)
    wave = gan_wave()
    batch = Batch(length=np.full(GAN_ROWS, GAN_FRAMES, np.int32), audio=wave)
    abstract: Any = nnx.eval_shape(lambda: systems.build(config.system, Rngs(0)))
    players = make_players(abstract, abstract.stages()["gan"], config)

    def first(key):
        return create_state(systems.build(config.system, Rngs(key)), players, config.ema.decay, key)

    state = jax.jit(first)(jax.random.key(0))
    theirs = None
    if has_torch():
        from v2s_jax.evaluation.bench_torch import gan_step

        write_folder(folder, {"system": config.system.to_dict()}, state["params"], state["stats"], "", "float32")
        theirs = gan_step(folder, config, wave)
    step = make_train_step(abstract, players, config.ema.decay)
    program = jax.jit(step, donate_argnums=0, compiler_options=compiler_options()).lower(state, batch).compile()

    def run():
        nonlocal state
        state, metrics = program(state, batch)
        return metrics["loss/generator"]

    return run, theirs, _flops(program)


def _flops(program: Any) -> float:
    return float((program.cost_analysis() or {}).get("flops", 0.0))


def _twin(case: Case, config: ConfigDict, module: Any, folder: Path) -> Any:
    from v2s_jax.evaluation.bench_torch import Twin

    _, *states = nnx.split(module, nnx.Param, ...)
    params, stats = map(nnx.to_pure_dict, states)
    write_folder(folder, {case.section: config.to_dict()}, params, stats, "", "float32")
    return Twin(folder)


def _figures(
    name: str, ours: Call, theirs: Call | None, flops: float, rate: float, seconds: float
) -> Iterator[tuple[str, float]]:
    own, foreign = _times(ours, theirs, seconds)
    median = statistics.median(own)
    yield f"{name}: seconds", median
    if flops:
        yield f"{name}: share of the matrix rate", flops / median / 1e9 / rate
    if foreign:
        yield f"{name}: seconds in torch", statistics.median(foreign)
        ratios = [their / our for our, their in zip(own, foreign, strict=True)]
        yield f"{name}: times as fast as torch", statistics.median(ratios)


def _times(ours: Call, theirs: Call | None, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds of calls that take turns, each after one that is not counted.

    What comes first after the other's turn finds caches and the allocator as that left them, which costs a training
    step up to half its time more than in a loop of its own.
    """
    calls = [call for call in (ours, theirs) if call]
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < LEAST_PAIRS:
        for call, own in zip(calls, times, strict=True):
            jax.block_until_ready(call())
            start = time.perf_counter()
            jax.block_until_ready(call())
            own.append(time.perf_counter() - start)
    return times[0], (times[1] if theirs else [])
