"""Whether pre-training the decoder on sound helps the V2A and each of AV2A's procedures, all of configs/av2a_grid.py.

Workdirs below runs/, of the config's variants: svts_grid, av2a_grid_video (its decoder of `:audio`), av2a_grid_both and
the others, and with the ending _pretrained those of `:both,pretrained` and so on, each on the drafts of its own V2A.
Command: `v2s-jax ablate configs/ablations/av2a_pretrained.py --data data/grid_s1 --split test --out ablation`
"""

PROCEDURES = ("both", "dropout", "dropout_true")


def get_variants():
    """Each without and with."""
    v2a = [{"name": "v2a", "model": "runs/svts_grid"}, {"name": "v2a-pretrained", "model": "runs/av2a_grid_video"}]
    return v2a + [
        {"name": procedure + ending.replace("_", "-"), "model": f"runs/av2a_grid_{procedure}{ending}"}
        for procedure in PROCEDURES
        for ending in ("", "_pretrained")
    ]
