"""How many evaluations of the decoder two solvers need.

Command: `v2s-jax ablate configs/ablations/diffv2s_sampling.py --model MODEL --data DIR --out DIR`
"""

SOLVERS = {
    "ddim": {"sampler.solver": "ddim", "sampler.grid": "uniform"},
    "dpm": {"sampler.solver": "dpm_solver++", "sampler.grid": "log_snr"},
}


def get_variants():
    """Every solver with every number."""
    return [
        {"name": f"{solver}-{n}", "system": system, "sampler": {"evaluations": n}, "series": solver, "x": n}
        for solver, system in SOLVERS.items()
        for n in (1, 2, 5, 10, 20, 50, 100, 250, 1000)
    ]
