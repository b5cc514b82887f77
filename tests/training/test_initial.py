import jax
import jax.numpy as jnp
import pytest

from tests import small_diffv2s
from tests.small_encoder import small_config
from tests.small_vocoder import filled
from v2s_jax.errors import V2SError
from v2s_jax.models import avhubert, speaker
from v2s_jax.models.folder import save_model
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.registry import build
from v2s_jax.training.defaults import default_config
from v2s_jax.training.initial import start_from
from v2s_jax.training.paths import flatten
from v2s_jax.training.state import create_state, make_players, split_system


def start(source, section=None, **encoder):
    """A small system's state before and after it is given the weights of `source`."""
    config = default_config()
    config.system = small_config(**encoder) if section is None else section
    config.train.init_from = str(source)
    system = filled(lambda: build(config.system, Rngs(0)))
    players = make_players(system, next(iter(system.stages().values())), config)
    state = create_state(system, players, 0.9, jax.random.key(0))
    state = jax.tree.map(lambda leaf: leaf + 0.5 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, state)
    return state, start_from(state, config, system, jax.tree.map(lambda leaf: leaf.sharding, state))


def save_encoder(folder, clusters=5, **encoder):
    """The parameters and statistics of an encoder that is kept as a part."""
    config = small_config(clusters, **encoder).encoder
    module = filled(lambda: avhubert.AVHuBERT(config, rngs=Rngs(0)))
    save_model(folder, config, module, {}, "")
    _, params, stats = split_system(module)
    return flatten({"encoder": params}), flatten({"encoder": stats})


def test_an_encoder_and_its_head(tmp_path):
    params, stats = save_encoder(tmp_path / "encoder", dropout=0.3)  # how it was trained does not matter
    before, after = start(tmp_path / "encoder")
    for name, given in (("params", params), ("stats", stats), ("ema", params)):
        found = flatten(after[name])
        assert found.keys() == given.keys() == flatten(before[name]).keys()
        assert all((found[path] == given[path]).all() for path in given)


def test_the_state_can_be_donated(tmp_path):
    save_encoder(tmp_path / "encoder", masking="none", final_proj=False)
    _, after = start(tmp_path / "encoder")
    donated = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf, state), donate_argnums=0)(after)
    assert jax.tree.structure(donated) == jax.tree.structure(after)


def test_a_head_of_other_clusters_begins_anew(tmp_path):
    params, _ = save_encoder(tmp_path / "encoder", clusters=9, masking="none", final_proj=False)
    before, after = (flatten(state["params"]) for state in start(tmp_path / "encoder"))
    anew = {path for path in before if (before[path] == after[path]).all()}
    head = {"encoder/label_embs", "encoder/mask_emb", "encoder/final_proj/kernel", "encoder/final_proj/bias"}
    assert anew == head
    assert all((after[path] == params[path]).all() for path in before.keys() - head)


def test_an_encoder_with_its_head_serves_a_system_without(tmp_path):
    params, stats = save_encoder(tmp_path / "encoder", layers=2, dropout=0.1, resnet=(4, 4))
    before, after = start(tmp_path / "encoder", small_diffv2s.small_config())
    for name, given in (("params", params), ("stats", stats)):
        old, new = flatten(before[name]), flatten(after[name])
        own = {path for path in new if path.startswith("encoder/")}
        assert own and own <= given.keys()
        assert all((new[path] == given[path]).all() for path in own)
        assert all((new[path] == old[path]).all() for path in new.keys() - own)
    assert "encoder/final_proj/kernel" in params and "encoder/final_proj/kernel" not in flatten(after["params"])


def test_an_encoder_of_another_size_is_refused_with_what_to_add(tmp_path):
    save_encoder(tmp_path / "encoder", width=8, resnet=(2, 2))
    with pytest.raises(V2SError) as error:
        start(tmp_path / "encoder")
    assert str(error.value).endswith(
        "encoder holds a avhubert of other settings: "
        "add --config.system.encoder.resnet=(2,2) --config.system.encoder.width=8"
    )


def test_a_part_that_the_system_does_not_have_is_refused(tmp_path):
    config = speaker.default_config("small")
    config.update({"layers": 1, "hidden": 4, "dim": 4})
    save_model(tmp_path / "speaker", config, speaker.SpeakerEncoder(config, rngs=Rngs(0)), {}, "")
    with pytest.raises(V2SError, match="holds a part of kind speaker; avhubert_pretrain has none of them"):
        start(tmp_path / "speaker")
