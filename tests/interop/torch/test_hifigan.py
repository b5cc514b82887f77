import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from ml_collections import ConfigDict

from tests.small_vocoder import small_config, small_system
from v2s_jax.interop.torch import load
from v2s_jax.systems.pretrained import save_pretrained


def test_a_whole_system_runs_in_pytorch(tmp_path):
    system = small_system()
    _, *states = nnx.split(system, nnx.Param, ...)
    save_pretrained(tmp_path / "whole", ConfigDict({"system": small_config()}), *map(nnx.to_pure_dict, states), "")
    theirs = load(tmp_path / "whole")
    rng = np.random.default_rng(0)
    mel, wave = rng.normal(size=(1, 6, 80)).astype(np.float32), rng.normal(size=(1, 500)).astype(np.float32)
    evaluated = nnx.view(system, deterministic=True, use_running_average=True)
    made, judged = jax.jit(lambda m, w: (evaluated.generator(m), evaluated.critics(w)))(mel, wave)
    with torch.inference_mode():
        np.testing.assert_allclose(made, theirs(torch.tensor(mel).transpose(1, 2))[:, 0], atol=1e-5)
        verdicts = theirs.mpd(torch.tensor(wave)[:, None]) + theirs.msd(torch.tensor(wave)[:, None])
    for (ours, _), (expected, _) in zip(judged, verdicts, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5 * max(1.0, float(jnp.abs(ours).max())))
