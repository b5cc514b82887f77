import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.interop.twins import copy_into, randomize
from tests.small_av2a import clips, small_wave_config
from v2s_jax.data.batch import Batch
from v2s_jax.features.mel import log_mel as expected_log_mel
from v2s_jax.interop.tables import av2a as table
from v2s_jax.interop.torch.av2a_wavegan import AV2AWaveGAN
from v2s_jax.interop.torch.clips import log_mel
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.registry import build


def test_log_mels_are_ours():
    wave = 0.1 * np.random.default_rng(0).normal(size=6400).astype(np.float32)
    np.testing.assert_allclose(
        log_mel(torch.tensor(wave)[None], torch.tensor([len(wave)]))[0], expected_log_mel(wave), atol=1e-4
    )


@pytest.mark.parametrize("procedure, settings", [("dropout", {}), ("both", {}), ("both", {"base": "none"})])
def test_waveforms_are_those_of_pytorch(procedure, settings):
    config = small_wave_config(procedure, judged=False, **settings)
    theirs = randomize(AV2AWaveGAN(config.to_dict()))
    ours = copy_into(nnx.eval_shape(lambda: build(config, Rngs(0))), theirs, table.entries(config.to_dict()))
    batch = clips()
    given = Batch(batch.length, **{name: getattr(batch, name) for name in ours.inputs})
    heard = torch.tensor(batch.draft.astype(np.float32)) if "draft" in ours.inputs else None
    synthesize = jax.jit(lambda batch, knobs: ours.synthesize(batch, Rngs(0), knobs))
    for rounds in (0, 2):
        with torch.inference_mode():
            expected = theirs(torch.tensor(batch.mouth), torch.tensor(batch.length), heard=heard, rounds=rounds)
        found = synthesize(given, {"rounds": jnp.float32(rounds)})
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert expected.abs().max() > 1e-3
        with torch.inference_mode():  # a clip alone, not padded
            mouth, brought = torch.tensor(batch.mouth[1:, :4]), None if heard is None else heard[1:, :16]
            alone = theirs(mouth, torch.tensor(batch.length[1:]), heard=brought, rounds=rounds)
        np.testing.assert_allclose(found[1, : 4 * 640], alone[0], atol=1e-4)
