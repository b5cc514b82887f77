"""AV2A's three procedures in the domain of the mel beside their V2A, all trained by configs/av2a_grid.py.

Command, where the workdirs are below runs/:
`v2s-jax ablate configs/ablations/av2a_procedures.py --data data/grid_s1 --split test --out ablation`
"""

PROCEDURES = ("both", "dropout", "dropout_true")


def get_variants(v2a: str = "runs/svts_grid", name: str = "runs/av2a_grid"):
    """The V2A, and each procedure; of those that draft by themselves the draft alone, too, and more rounds.

    Args:
        v2a: workdir of what wrote the drafts.
        name: of the procedures' workdirs, before their own names.
    """
    once = [{"name": procedure, "model": f"{name}_{procedure}"} for procedure in PROCEDURES]
    others = [
        {"name": f"{procedure}-{rounds}-rounds", "model": f"{name}_{procedure}", "sampler": {"rounds": rounds}}
        for procedure in PROCEDURES[1:]
        for rounds in (0, 2)
    ]
    return [{"name": "v2a", "model": v2a}, *once, *others]
