import jax
import jax.numpy as jnp

from v2s_jax.models import compiling


def test_what_is_told_to_a_cpus_compiler_is_what_it_knows(monkeypatch):
    monkeypatch.setattr(compiling, "_CPU", {"xla_cpu_no_such_thing": "1", "xla_cpu_max_isa": "AVX2"})
    options = compiling._known.__wrapped__()
    assert options == {"xla_cpu_max_isa": "AVX2"}
    assert jax.jit(jnp.negative, compiler_options=options)(1.0) == -1


def test_others_are_told_nothing():
    assert compiling.compiler_options("tpu") == compiling.compiler_options("gpu") == {}
    assert compiling.compiler_options() == compiling.compiler_options("cpu") == compiling._known()
