"""How much modality dropout, and how soon: AV2A of configs/av2a_grid.py, `dropout_true`, with other shares of the rows.

Workdirs below runs/: av2a_grid_dropout_true (a quarter of the rows video alone, a quarter sound alone), and with an
ending _light, _heavy (`--config.system.modality_dropout.video=0.1 --config.system.modality_dropout.audio=0.1`, and 0.4)
and _ramp (`--config.system.modality_dropout.ramp=700`, the steps until the shares are full).
Command: `v2s-jax ablate configs/ablations/av2a_schedules.py --data data/grid_s1 --split test --out ablation`
"""


def get_variants():
    """Each after one round, and its draft alone, which is its speech of video alone."""
    return [
        {"name": f"{schedule or 'quarter'}{'' if rounds else '-draft'}", "model": model, "sampler": {"rounds": rounds}}
        for schedule in ("", "light", "heavy", "ramp")
        for model in ["runs/av2a_grid_dropout_true" + (f"_{schedule}" if schedule else "")]
        for rounds in (1, 0)
    ]
