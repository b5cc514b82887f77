import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.small_av2a import small_config as av2a_config
from tests.small_encoder import small_config as small_encoder_config
from tests.small_encoder import small_system
from tests.small_model import save_small, small_config, small_weights
from tests.small_vocoder import filled
from v2s_jax.errors import V2SError
from v2s_jax.models import shipped
from v2s_jax.models.avhubert import AVHuBERT
from v2s_jax.models.folder import save_model
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.audio_visual import grafts
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config
from v2s_jax.training.grafts import graft, left_random
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import create_state, make_players, split_system


def grown(source, there="frontend", here="encoder/frontend", widths=(4, 8)):
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
    config = small_encoder_config(resnet=(4, 8), activation="relu").encoder
    module = filled(lambda: AVHuBERT(config, rngs=Rngs(0)))
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


def test_a_shipped_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "assets", lambda: tmp_path)
    save_small(tmp_path / "one-that-ships")
    (_, after), (_, expected) = grown("one-that-ships"), grown(tmp_path / "one-that-ships")
    jax.tree.map(np.testing.assert_array_equal, after["params"], expected["params"])


def test_what_never_trains_and_is_not_given_is_told():
    params = {"base": {"a": {"kernel": 1}, "b": {"kernel": 1}}, "head": {"kernel": 1}, "critics": {"kernel": 1}}
    stages = {
        "first": [("head/.*", "train"), ("(base|critics)/.*", "frozen")],
        "second": [("(head|critics)/.*", "train"), ("base/.*", "frozen")],
    }

    def told(**settings):
        train = default_config().train
        train.update({"stage": "first"} | settings)
        return left_random(params, stages, train)

    assert told() == ["base"]
    assert told(grafts=(("m", "", "base/a"),)) == ["base"]
    assert told(grafts=(("m", "", "base/a"), ("m", "b", "base/b"))) == told(grafts=(("m", "", "base"),)) == []
    assert told(grafts=(("m", "", ""),)) == told(init_from="m") == []
    assert told(frozen="head/.*") == ["base", "head", "critics"]


def fresh(section):
    """The state of a system before training, and its shardings."""
    system = filled(lambda: build(section, Rngs(0)))
    players = make_players(system, system.stages()["train"], default_config())
    state = create_state(system, players, 0.9, jax.random.key(0))
    return state, jax.tree.map(lambda leaf: leaf.sharding, state)


def test_an_array_without_the_leading_axis_is_repeated_along_it(tmp_path):
    """An `svts` in an `av2a`: the statistics of its conformer's norms in every state."""
    config = small_config(resnet=(2, 4), width=8, heads=2)
    save_small(tmp_path / "svts", config)
    sizes = {name: config.system[name] for name in ("blocks", "hidden", "kernel_size")}
    state, placed = fresh(av2a_config("both", base="none", **sizes))
    after = graft(state, grafts(str(tmp_path / "svts")), placed)
    params, stats = (flatten(tree) for tree in small_weights(config))
    for path, leaf in params.items():
        np.testing.assert_array_equal(flatten(after["params"])[path], leaf, err_msg=path)
        np.testing.assert_array_equal(flatten(after["ema"])[path], leaf, err_msg=path)
    states = 0
    for path, leaf in stats.items():
        new = flatten(after["stats"])[path]
        states += new.ndim > leaf.ndim
        np.testing.assert_array_equal(new, np.broadcast_to(leaf, new.shape), err_msg=path)
    assert states == 2  # mean and variance of the only block
    with pytest.raises(V2SError, match="does not fit conformer of this system, such as in .*give both the same"):
        save_small(tmp_path / "wider", small_config(width=4, heads=2))
        graft(state, grafts(str(tmp_path / "wider"), ("conformer",)), placed)


def test_a_whole_model_can_be_the_base_of_another(tmp_path):
    config = small_config(resnet=(2, 4), width=8, heads=2)
    save_small(tmp_path / "svts", config)
    own = av2a_config("both")
    own.v2a = config.system
    state, placed = fresh(own)
    after = graft(state, [(str(tmp_path / "svts"), "", "base")], placed)
    for name, given in zip(("params", "stats"), small_weights(config), strict=True):
        for path, leaf in flatten(given).items():
            np.testing.assert_array_equal(flatten(after[name])[f"base/{path}"], leaf)
    assert not any(path.startswith("base/") for path in flatten(after["ema"]))  # nobody trains it
