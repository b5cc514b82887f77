"""Options for the compiler with which our networks run fastest."""

import functools

import jax
import jax.numpy as jnp

# YNNPACK's convolutions, which XLA:CPU prefers since jaxlib 0.10, take twice the time of Eigen's on the pictures of a
# lip reader; its matrix products and reductions are the faster ones.
_CPU = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE",
}


def compiler_options(platform: str | None = None) -> dict[str, str]:
    """The `compiler_options` of `jax.jit`: none where the compiler has no such thing to be told.

    Args:
        platform: that is compiled for; by default that of this process.
    """
    return _known() if (platform or jax.default_backend()) == "cpu" else {}


@functools.cache
def _known() -> dict[str, str]:
    """Those of the options that this version's compiler takes."""
    known = {}
    for name, value in _CPU.items():
        try:
            jax.jit(jnp.negative, compiler_options={name: value}).lower(1.0).compile()
        except Exception:  # whatever it says of an option that it does not know
            continue
        known[name] = value
    return known
