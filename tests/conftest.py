"""The strict rig: rank promotion raises, warnings are errors (pyproject), shapes are checked (jaxtyping + beartype)."""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
