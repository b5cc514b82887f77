"""How speech gets worse as video does, each way in four steps; for any model.

Command: `v2s-jax ablate configs/ablations/degraded_video.py --model MODEL --data DIR --out DIR`
"""

STEPS = {
    "blur": (1, 2, 4, 8),
    "dark": (0.5, 0.8, 0.95, 0.99),
    "occlude": (0.05, 0.1, 0.25, 0.5),
    "drop": (0.1, 0.25, 0.5, 0.75),
    "compress": (28, 34, 40, 46),
}


def get_variants():
    """The clean video, which every curve begins with, and every way at every step."""
    return [{"name": "clean", "series": list(STEPS), "x": 0}] + [
        {"name": f"{way}={amount}", "degrade": f"{way}={amount}", "series": way, "x": step}
        for way, amounts in STEPS.items()
        for step, amount in enumerate(amounts, 1)
    ]
