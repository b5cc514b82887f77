import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.small_encoder import small_config as small_encoder_config
from tests.small_encoder import small_system
from tests.small_model import save_small, small_config, small_weights
from tests.small_vocoder import filled
from v2s_jax.errors import V2SError
from v2s_jax.models.avhubert import AVHuBERT
from v2s_jax.models.folder import save_model
from v2s_jax.training.defaults import default_config
from v2s_jax.training.grafts import graft
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import create_state, make_players, split_system


def grown(source, there="frontend", here="encoder/frontend", widths=(4, 4, 8, 8)):
    """A small encoder's state before and after a branch of an SVTS is put into it."""
    system = small_system(resnet=widths, activation="relu")
    players = make_players(system, system.stages()["train"], default_config())
    state = create_state(system, players, 0.9, jax.random.key(0))
    state = jax.tree.map(lambda leaf: leaf + 0.5 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, state)
    return state, graft(state, [(str(source), there, here)], jax.tree.map(lambda leaf: leaf.sharding, state))


def test_a_branch_and_nothing_else_changes(tmp_path):
    save_small(tmp_path / "svts")
    before, after = grown(tmp_path / "svts")
    params, stats = small_weights(small_config())
    for name, given in (("params", params), ("stats", stats), ("ema", params)):
        old, new = flatten(before[name]), flatten(after[name])
        branch = {f"encoder/{path}": leaf for path, leaf in flatten(given).items() if path.startswith("frontend/")}
        assert branch and old.keys() == new.keys()
        for path, leaf in new.items():
            np.testing.assert_array_equal(leaf, branch.get(path, old[path]), err_msg=path)


@pytest.mark.parametrize(("there", "here"), [("frontend", "encoder/frontend"), ("", "encoder")])
def test_a_part_gives_branches_too(there, here, tmp_path):
    config = small_encoder_config(resnet=(4, 4, 8, 8), activation="relu").encoder
    module = filled(lambda: AVHuBERT(config, rngs=nnx.Rngs(0)))
    save_model(tmp_path / "part", config, module, {}, "")
    before, after = grown(tmp_path / "part", there, here)
    _, *given = split_system(module)
    for name, tree in zip(("params", "stats"), given, strict=True):
        old, new = flatten(before[name]), flatten(after[name])
        branch = {f"encoder/{path}": leaf for path, leaf in flatten(tree).items() if path.startswith(there)}
        assert branch.keys() <= new.keys()
        for path, leaf in new.items():
            np.testing.assert_array_equal(leaf, branch.get(path, old[path]), err_msg=path)


def test_the_state_can_be_donated(tmp_path):
    save_small(tmp_path / "svts")
    _, after = grown(tmp_path / "svts")
    donated = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf, state), donate_argnums=0)(after)
    assert jax.tree.structure(donated) == jax.tree.structure(after)


def test_what_cannot_be_grafted_is_refused(tmp_path):
    save_small(tmp_path / "svts")
    with pytest.raises(V2SError, match="svts has no branch 'front'"):
        grown(tmp_path / "svts", there="front")
    with pytest.raises(V2SError, match="this system has no branch 'frontend'"):
        grown(tmp_path / "svts", here="frontend")
    with pytest.raises(V2SError, match="does not fit encoder/frontend of this system, such as in .*give both the same"):
        grown(tmp_path / "svts", widths=(2, 4, 8, 8))
    state = {"params": {}, "stats": {}, "ema": {}}
    with pytest.raises(V2SError, match=r"expected \(source, branch there, branch here\)"):
        graft(state, [("a", "b")], state)
