"""DiffV2S beside PyTorch: parts of its sampling one by one, then the whole system."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from ml_collections import ConfigDict

from tests.interop.twins import copy_into, randomize
from tests.small_diffv2s import clips, small_config
from v2s_jax.constants import LOG_FLOOR, MOUTH_MEAN, MOUTH_STD
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.generative import grids
from v2s_jax.generative.noise import frame_noise, row_keys
from v2s_jax.generative.predictions import to_estimate
from v2s_jax.generative.process import PROCESSES, build_process
from v2s_jax.generative.sampling import plan, sample
from v2s_jax.generative.solvers import build as build_solver
from v2s_jax.interop import torch as interop
from v2s_jax.interop.tables.diffv2s import entries
from v2s_jax.interop.torch import diffusion
from v2s_jax.interop.torch.avhubert import AVHuBERT
from v2s_jax.interop.torch.diffv2s import DiffV2S
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.base import frame_mask
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build

FRAMES = 6
LENGTH = np.array([FRAMES, 4], np.int32)
KNOBS = {"evaluations": 2.0, "classifier_free": 1.0}  # as the configs have them
CONFIGS = {  # every decoder, solver and grid, and a process and a kind each
    "mel_transformer": ({"process": "linear", "prediction": "x_0"}, {"solver": "dpm_solver++", "grid": "log_snr"}),
    "dit": ({"process": "cosine", "prediction": "v", "drop": 0.2}, {"solver": "ddim", "grid": "uniform"}),
}


@functools.partial(jax.jit, static_argnums=0)
def levels_and_grids(path, times, steps):
    """Of our process: alpha, sigma and log-SNR, and all grids of so many steps."""
    padded = [plan(path, build_solver("ddim"), steps, 7, grids.GRIDS[grid])[0] for grid in diffusion.GRIDS]
    return jnp.stack([path.alpha(times), path.sigma(times), path.log_snr(times) / 2], 1), padded


@pytest.mark.parametrize("name", PROCESSES)
def test_levels_and_grids_are_those_of_the_process(name):
    ours, theirs = build_process(name), diffusion.PROCESSES[name]()
    times = np.linspace(0, 1, 8, dtype=np.float32)
    data, *found = diffusion.levels(theirs, times.astype(float))
    assert data == (0, 1, 0, np.inf)
    for steps in (1, 2, 7):
        expected, padded = levels_and_grids(ours, times[1:], steps)
        np.testing.assert_allclose(np.array(found)[:, 1:], expected, rtol=1e-4)
        for grid, wanted in zip(diffusion.GRIDS.values(), padded, strict=True):
            np.testing.assert_allclose(grid(theirs, steps), wanted[: steps + 1], atol=1e-6)


@pytest.mark.parametrize("kind", build_process("linear").kinds)
def test_every_prediction_stands_for_the_same_data_and_noise(kind):
    prediction, x_t = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    expected = to_estimate(build_process("vp_sde"), kind, jnp.asarray(prediction), jnp.asarray(x_t), jnp.array(0.3))
    (level,) = diffusion.levels(diffusion.VPSDE(), np.array([0.3]))
    found = diffusion.KINDS[kind](torch.tensor(prediction), torch.tensor(x_t), level)
    for own, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, wanted, atol=1e-5)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def sampled(process, solver, grid, kind, x):
    path, how = build_process(process), build_solver(solver)
    times, steps = plan(path, how, 5, 5, grids.GRIDS[grid])
    return sample(lambda x, t: jnp.sin(3 * x) * t[:, None], x, times, steps, path=path, kind=kind, solver=how)


@pytest.mark.parametrize("solver", diffusion.SOLVERS)
@pytest.mark.parametrize("process", PROCESSES)
def test_solvers_go_the_same_way(process, solver):
    x, kind = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32), "v"
    twin, step = diffusion.PROCESSES[process](), diffusion.SOLVERS[solver]
    for grid, times in diffusion.GRIDS.items():
        found = diffusion.sample(
            lambda x, t: torch.sin(3 * x) * t[:, None],
            torch.tensor(x),
            twin,
            diffusion.KINDS[kind],
            step,
            times(twin, 5),
        )
        np.testing.assert_allclose(found, sampled(process, solver, grid, kind, x), atol=1e-4, err_msg=grid)


def config_of(decoder):
    settings, sampler = CONFIGS[decoder]
    config = small_config(decoder, **settings)
    config.sampler.update(sampler)
    return config


@functools.cache
def pair(decoder):
    """The twin, and our system with its weights, which come back from ours to the bit."""
    config = config_of(decoder)
    theirs = randomize(DiffV2S(config.to_dict()))
    return theirs, copy_into(nnx.eval_shape(lambda: build(config, Rngs(0))), theirs, entries(config.to_dict()))


@functools.cache
def program(decoder):
    """Our compiled `synthesize`, `see` and `hear`, of a batch with filterbanks and of knobs."""
    graphdef, weights = nnx.split(pair(decoder)[1])

    @jax.jit
    def run(weights, batch, filterbank, knobs):
        system = nnx.merge(graphdef, weights)
        heard = system.hear(filterbank, frame_mask(batch.length, FRAMES))
        return system.synthesize(batch, Rngs(0), knobs), system.see(batch), heard

    batch, filterbank = Batch(LENGTH, clips(2).mouth), filterbanks()
    return lambda **knobs: run(weights, batch, filterbank, KNOBS | {name: float(knobs[name]) for name in knobs})


@functools.cache
def noise():
    """What `synthesize` begins with."""
    keys = row_keys(Rngs(0).noise(), jnp.zeros(2, jnp.int32))
    return np.asarray(frame_noise(keys, (FRAMES, 320))(0))


def filterbanks():
    return np.random.default_rng(1).normal(size=(2, FRAMES, 104)).astype(np.float32)


def tensors():
    return [torch.tensor(array) for array in (clips(2).mouth, LENGTH, noise())]


@pytest.mark.parametrize("decoder", CONFIGS)
def test_the_same_noise_becomes_the_same_speech(decoder):
    theirs, _ = pair(decoder)
    found = []
    for knobs in ({}, {"evaluations": 1}, {"evaluations": 7}, {"evaluations": 9}, {"classifier_free": 2.0}):
        with torch.inference_mode():
            found.append(theirs(*tensors(), **knobs).numpy())
        expected = program(decoder)(**knobs)[0]  # up to 40, the weights being random
        np.testing.assert_allclose(found[-1], expected, atol=1e-4, rtol=1e-5, err_msg=str(knobs))
    assert found[0].shape == (2, 4 * FRAMES, 80) and found[0].std() > 1
    assert (found[0][1, 16:] == np.float32(LOG_FLOOR)).all()
    of_two, of_one, of_seven, of_too_many, guided = found
    assert np.abs(of_two - of_one).max() > 0.1 and np.abs(of_two - of_seven).max() > 0.1
    assert np.abs(of_too_many - of_seven).max() > 0.01  # eight, the most
    assert (np.abs(guided - of_two).max() > 0.1) == (decoder == "dit")  # which may do without a condition


def test_embeddings_of_what_is_seen_and_heard_are_ours():
    theirs, _ = pair("mel_transformer")
    mouth, length = tensors()[:2]
    with torch.inference_mode():
        frames, s_v = theirs.see(mouth, length)
        s_a = theirs.hear(torch.tensor(filterbanks()), length).numpy()
        cropped = (mouth[..., 36:52, 36:52] / 255 - MOUTH_MEAN) / MOUTH_STD
        mask = torch.arange(FRAMES) < length[:, None]
        untouched = theirs.encoder(cropped, padding_mask=~mask)
    _, seen, heard = program("mel_transformer")()
    np.testing.assert_allclose(frames[mask], np.asarray(seen.frames)[mask], atol=1e-5)
    np.testing.assert_allclose(frames[mask], untouched[mask], atol=1e-5)  # by the prompt
    np.testing.assert_allclose(s_v, seen.speaker, atol=1e-5)
    np.testing.assert_allclose(s_a, heard, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(s_a, axis=1), 1, atol=1e-5)
    assert np.abs(s_v.numpy() - s_a).max() > 0.01


def test_padding_changes_nothing():
    theirs, _ = pair("mel_transformer")
    mouth, length, random = tensors()
    with torch.inference_mode():
        whole, alone = theirs(mouth, length, random), theirs(mouth[1:, :4], length[1:], random[1:, :4])
    np.testing.assert_allclose(whole[1, :16], alone[0], atol=1e-4)


def test_an_exported_folder_loads(tmp_path):
    theirs, ours = pair("dit")
    _, *states = nnx.split(ours, nnx.Param, ...)
    config = ConfigDict({"system": config_of("dit")})
    save_pretrained(tmp_path / "small", config, *map(nnx.to_pure_dict, states), "")
    loaded = interop.load(tmp_path / "small")
    assert isinstance(loaded, DiffV2S) and not loaded.training
    with torch.inference_mode():
        np.testing.assert_array_equal(loaded(*tensors()), theirs(*tensors()))


def test_the_encoder_has_its_published_keys():
    theirs, _ = pair("mel_transformer")
    state = {k.removeprefix("encoder."): v for k, v in theirs.state_dict().items() if k.startswith("encoder.")}
    AVHuBERT(config_of("mel_transformer").encoder.to_dict()).load_state_dict(state)
    assert {"encoder.layers.1.self_attn.q_proj.weight", "feature_extractor_video.proj.bias"} <= state.keys()


def test_a_speaker_may_be_left_out():
    config = config_of("mel_transformer").to_dict()
    theirs, _ = pair("mel_transformer")
    deaf = DiffV2S(config | {"speaker": "none"}).eval()
    with torch.inference_mode():
        given, left_out = (model.condition(*theirs.see(*tensors()[:2])) for model in (theirs, deaf))
    np.testing.assert_array_equal(given[..., :16], left_out[..., :16])
    assert not left_out[..., 16:].any() and given[0, :, 16:].square().sum(-1).sqrt().allclose(torch.tensor(16.0))


@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        ({"solver": "heun"}, r"solver is 'heun': the PyTorch module knows ddim, dpm_solver\+\+; ask for one of these"),
        ({"grid": "karras"}, "grid is 'karras': the PyTorch module knows uniform, log_snr"),
        ({"solver": "ddim", "eta": 1.0}, r"solver 'ddim' draws noise here \(eta is 1.0\): ask for solver='ddim'"),
    ],
)
def test_what_it_cannot_sample_by_is_said_and_ddim_can_be_asked_for(sampler, sentence):
    config = config_of("mel_transformer").to_dict()
    model = DiffV2S(config | {"sampler": config["sampler"] | sampler})
    model.load_state_dict(pair("mel_transformer")[0].state_dict())
    model.eval()
    with torch.inference_mode():
        with pytest.raises(V2SError, match=sentence):
            model(*tensors())
        asked = {"solver": "ddim", "grid": "uniform"}
        expected = pair("mel_transformer")[0](*tensors(), **asked)
        np.testing.assert_array_equal(model(*tensors(), **asked), expected)


def test_guidance_by_gradients_is_not_left_out_in_silence():
    config = config_of("mel_transformer").to_dict()
    guided = {"guidance": 3.0, "guidance_by": "score"}
    model = DiffV2S(config | {"sampler": config["sampler"] | guided})
    theirs, _ = pair("mel_transformer")
    model.load_state_dict(theirs.state_dict())
    model.eval()
    with torch.inference_mode():
        with pytest.raises(V2SError, match="sampler.guidance is 3.0: .* ask for guidance=0.0"):
            model(*tensors())
        np.testing.assert_array_equal(model(*tensors(), guidance=0.0), theirs(*tensors()))
        with pytest.raises(V2SError, match="sampler.guidance is 2.0"):
            theirs(*tensors(), guidance=2.0)


def test_a_config_of_something_else_is_refused():
    config = config_of("dit").to_dict()
    for changes, sentence in (
        ({"process": "sine"}, "process is 'sine': the PyTorch module knows linear, vp_sde, cosine"),
        ({"decoder": config["decoder"] | {"name": "unet"}}, "decoder.name is 'unet'"),
    ):
        with pytest.raises(V2SError, match=sentence):
            DiffV2S(config | changes)
