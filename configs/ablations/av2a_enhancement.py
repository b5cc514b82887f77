"""The same model as an enhancer: true sound with noise and gaps, and what it makes of that and of the lips.

Model: `v2s-jax train --config=configs/av2a_grid.py:spoiled --workdir=runs/av2a_grid_spoiled`
Command: `v2s-jax ablate configs/ablations/av2a_enhancement.py --model runs/av2a_grid_spoiled --data data/grid_s1
--split test --out ablation`
"""

SPOILT = {
    "noise": [{"snr": snr, "gap": 0} for snr in (15, 5, 0, -5, -15)],  # decibels
    "gaps": [{"snr": 100, "gap": gap} for gap in (0.1, 0.2, 0.4, 0.8)],  # share of every second
}


def get_variants():
    """The spoiled sound as it is (no round), and refined once."""
    return [
        {
            "name": f"{way}-{step}-{name}",
            "sampler": {"rounds": rounds, **amounts},
            "series": f"{way}, {name}",
            "x": step,
        }
        for way, points in SPOILT.items()
        for step, amounts in enumerate(points, 1)
        for rounds, name in enumerate(("heard", "refined"))
    ]
