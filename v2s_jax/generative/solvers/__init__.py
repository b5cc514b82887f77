"""Solvers by name: a new solver is one file here and one line in the table.

For trajectories that need no grid of times, because the step is chosen by its error: `dormand_prince.integrate`.
"""

import importlib
from typing import Any

from v2s_jax.generative.solvers.base import Solver

SOLVERS = {
    "ddpm": "v2s_jax.generative.solvers.ddpm:DDPM",
    "ddim": "v2s_jax.generative.solvers.ddim:DDIM",
    "dpm_solver++": "v2s_jax.generative.solvers.dpm_solver:DPMSolver",
    "sde_dpm_solver++": "v2s_jax.generative.solvers.dpm_solver:SDEDPMSolver",
    "euler": "v2s_jax.generative.solvers.ode:Euler",
    "heun": "v2s_jax.generative.solvers.ode:Heun",
    "midpoint": "v2s_jax.generative.solvers.ode:Midpoint",
    "predictor_corrector": "v2s_jax.generative.solvers.predictor_corrector:PredictorCorrector",
}


def build(name: str, **options: Any) -> Solver:
    """The solver of that name.

    Args:
        name: a key of the table.
        **options: its attributes.

    Raises:
        ValueError: there is no such solver.
    """
    if name not in SOLVERS:
        raise ValueError(f"solver is {name!r}: expected one of {', '.join(SOLVERS)}")
    module, solver = SOLVERS[name].split(":")
    return getattr(importlib.import_module(module), solver)(**options)
