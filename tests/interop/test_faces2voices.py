"""From Faces to Voices beside PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from ml_collections import ConfigDict

from tests.interop.twins import copy_into, randomize
from tests.small_faces2voices import clips, silent, small_config
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.errors import V2SError
from v2s_jax.generative import grids
from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.noise import frame_noise, row_keys
from v2s_jax.generative.sampling import plan, sample
from v2s_jax.generative.solvers import build as build_solver
from v2s_jax.interop import torch as interop
from v2s_jax.interop.tables.faces2voices import entries
from v2s_jax.interop.torch import flow
from v2s_jax.interop.torch.faces2voices import Faces2Voices
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.pretrained import save_pretrained
from v2s_jax.systems.registry import build

FRAMES = 6
LENGTH = np.array([FRAMES, 4], np.int32)


@functools.partial(jax.jit, static_argnums=(0, 1))
def sampled(grid, kind, x, steps):
    path, how = CondOT(), build_solver("euler")
    times, steps = plan(path, how, steps, 7, grids.GRIDS[grid])
    return sample(lambda x, t: jnp.sin(3 * x) * t[:, None], x, times, steps, path=path, kind=kind, solver=how)


@pytest.mark.parametrize("kind", flow.KINDS)
@pytest.mark.parametrize("grid", flow.GRIDS)
def test_euler_goes_the_same_way(grid, kind):
    x = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    for steps in (1, 2, 7):
        found = flow.euler(
            lambda x, t: torch.sin(3 * x) * t[:, None], torch.tensor(x), 1e-4, kind, flow.GRIDS[grid](steps)
        )
        np.testing.assert_allclose(found, sampled(grid, kind, x, steps), rtol=1e-4, atol=1e-4)


@functools.cache
def pair(decoder):
    """The twin, and our system with its weights, which come back from ours to the bit."""
    config = small_config(decoder, ctc_weight=0.1)
    theirs = randomize(Faces2Voices(config.to_dict()))
    return theirs, copy_into(nnx.eval_shape(lambda: build(config, Rngs(0))), theirs, entries(config.to_dict()))


@functools.cache
def program(decoder):
    """Our compiled `synthesize` of a batch and of all knobs."""
    _, ours = pair(decoder)
    graphdef, weights = nnx.split(ours)
    run = jax.jit(lambda weights, batch, knobs: nnx.merge(graphdef, weights).synthesize(batch, Rngs(0), knobs))
    return lambda batch, **knobs: run(weights, batch, ours.knobs | {name: float(knobs[name]) for name in knobs})


def given(**changes):
    batch = silent(length=LENGTH, **changes)
    keys = row_keys(Rngs(0).noise(), jnp.zeros(2, jnp.int32))
    noise = torch.tensor(np.asarray(frame_noise(keys, (FRAMES, 320))(0)))
    names = ("face_embedding", "expression", "speaker_embedding")
    fields = {name: torch.tensor(value) for name in names if (value := getattr(batch, name)) is not None}
    return batch, (torch.tensor(batch.mouth), torch.tensor(LENGTH), noise), fields


@pytest.mark.parametrize("decoder", ["dit", "unet1d"])
def test_the_same_noise_becomes_the_same_speech(decoder):
    theirs, _ = pair(decoder)
    batch, clip, fields = given()
    changes = ({}, {"evaluations": 5}, {"classifier_free": 1.0}, {"pitch_shift": 4.0, "pitch_range": 0.5})
    found = []
    for knobs in (*changes, {"energy_shift": 6.0, "contour_speed": 1.5}):
        with torch.inference_mode():
            found.append(theirs(*clip, **fields, **knobs).numpy())
        expected = program(decoder)(batch, **knobs)
        np.testing.assert_allclose(found[-1], expected, atol=1e-4, rtol=1e-5, err_msg=str(knobs))
        assert not knobs or np.abs(found[-1] - found[0]).max() > 1e-2, knobs
    assert (found[0][1, 16:] == np.float32(LOG_FLOOR)).all()


def test_a_misspelled_setting_is_refused():
    theirs, _ = pair("dit")
    _, clip, fields = given()
    with pytest.raises(V2SError, match="the setting of prosody is 'pitch_shfit': .* knows pitch_shift"):
        theirs(*clip, **fields, pitch_shfit=3.0)


def test_a_given_voice():
    theirs, _ = pair("dit")
    batch, clip, fields = given(face_embedding=None, speaker_embedding=clips().speaker_embedding)
    with torch.inference_mode():
        found = theirs(*clip, **fields)
    np.testing.assert_allclose(found, program("dit")(batch), atol=1e-4, rtol=1e-5)


def test_an_exported_folder_loads(tmp_path):
    theirs, ours = pair("dit")
    _, *states = nnx.split(ours, nnx.Param, ...)
    config = ConfigDict({"system": small_config("dit", ctc_weight=0.1)})
    save_pretrained(tmp_path / "small", config, *map(nnx.to_pure_dict, states), "")
    loaded = interop.load(tmp_path / "small")
    _, clip, fields = given()
    with torch.inference_mode():
        np.testing.assert_array_equal(loaded(*clip, **fields), theirs(*clip, **fields))


def test_what_it_lacks_is_said():
    theirs, _ = pair("dit")
    _, clip, fields = given()
    with pytest.raises(ValueError, match="needs a speaker_embedding"):
        theirs(*clip, expression=fields["expression"])
    with pytest.raises(ValueError, match="needs expression"):
        theirs(*clip, face_embedding=fields["face_embedding"])
    config = small_config().to_dict()
    model = Faces2Voices(config | {"sampler": config["sampler"] | {"solver": "heun"}}).eval()
    with pytest.raises(V2SError, match="solver is 'heun': the PyTorch module knows euler"), torch.inference_mode():
        model(*clip, **fields)
