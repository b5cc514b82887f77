import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.generative.mixture import pair, triangle
from v2s_jax.generative.flow_matching import CondOT
from v2s_jax.generative.likelihood import log_likelihood
from v2s_jax.generative.process import VPSDE

SIGNS = {1: [[1.0]], 2: [[1.0, 1.0], [1.0, -1.0]]}  # orthogonal: the divergence is exact


@pytest.mark.parametrize(("path", "target"), [(CondOT(), pair()), (VPSDE(), triangle())], ids=["flow, 1-D", "vp, 2-D"])
def test_likelihood_of_mixtures(path, target):
    d = target.means.shape[1]
    rng = np.random.default_rng(0)
    data = jnp.asarray(rng.uniform(-1.5, 1.5, (6, d)), jnp.float32)
    probes = jnp.broadcast_to(jnp.array(SIGNS[d])[:, None], (d, 6, d))
    network = target.denoiser(path)
    found = jax.jit(lambda x: log_likelihood(network, x, probes, path=path, kind=path.data_name))(data)
    expected = target.log_prob(data)
    assert expected.max() - expected.min() > 2
    np.testing.assert_allclose(found, expected, atol=0.02)
