"""Which of AV2A's procedures wins where: with frames lost, the mouth hidden or blurred; beside their V2A.

Workdirs as for configs/ablations/av2a_procedures.py.
Command: `v2s-jax ablate configs/ablations/av2a_degraded.py --data data/grid_s1 --split test --out ablation`
"""

MODELS = {"v2a": "runs/svts_grid"} | {name: f"runs/av2a_grid_{name}" for name in ("both", "dropout", "dropout_true")}
WAYS = ("", "drop=0.25", "drop=0.5", "occlude=0.1", "blur=3")


def get_variants():
    """Every model in every way."""
    return [
        {"name": f"{name}-{way or 'clean'}", "model": model, "degrade": way}
        for way in WAYS
        for name, model in MODELS.items()
    ]
