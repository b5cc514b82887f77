import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from v2s_jax.models import compiling, inference
from v2s_jax.models.rngs import Rngs
from v2s_jax.synthesis import devices
from v2s_jax.training import step as training


def infer():
    inference.Inference(nnx.Linear(1, 1, rngs=Rngs(0)), ConfigDict())(jnp.ones((1, 1)))


def speak():
    devices.over_devices(jnp.negative, (True,))(jnp.ones(1))


def train():
    everywhere = NamedSharding(Mesh(jax.devices()[:1], "data"), PartitionSpec())
    step = training.compile_train_step(lambda state, batch: (state, batch), {"step": everywhere}, everywhere)
    step({"step": jnp.ones(1)}, jnp.ones(1))


def validate():
    steps = training.compile_eval_steps((jnp.negative, jnp.negative), Mesh(jax.devices()[:1], "data"))
    steps[0](1.0)


def test_what_is_told_to_a_cpus_compiler_is_what_it_knows(monkeypatch):
    monkeypatch.setattr(compiling, "_CPU", {"xla_cpu_no_such_thing": "1", "xla_cpu_max_isa": "AVX2"})
    options = compiling._known.__wrapped__()
    assert options == {"xla_cpu_max_isa": "AVX2"}
    assert jax.jit(jnp.negative, compiler_options=options)(1.0) == -1


def test_others_are_told_nothing():
    assert compiling.compiler_options("tpu") == compiling.compiler_options("gpu") == {}
    assert compiling.compiler_options() == compiling.compiler_options("cpu") == compiling._known()


@pytest.mark.parametrize(
    "module, run",
    [(inference, infer), (devices, speak), (training, train), (training, validate)],
    ids=lambda x: x.__name__,
)
def test_it_is_told_them(monkeypatch, module, run):
    run()
    monkeypatch.setattr(module, "compiler_options", lambda *_: {"xla_cpu_no_such_thing": "1"})
    with pytest.raises(Exception, match="xla_cpu_no_such_thing"):
        run()
