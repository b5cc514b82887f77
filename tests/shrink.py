"""Any shipped experiment, made small enough to train two steps in a test."""

from pathlib import Path

from ml_collections import ConfigDict

SMALL = {
    **{"resnet": (2, 2, 2, 2), "blocks": 1, "width": 8, "heads": 2, "hidden": 8, "kernel_size": 3},
    "generator": {
        "upsample_initial_channel": 16,
        "resblock_kernel_sizes": (3,),
        "resblock_dilation_sizes": ((1, 2),),
        **{"blocks": 1, "width": 8, "hidden": 8, "iterations": 2},
    },
    "critics": {
        **{"periods": (2,), "scales": 2, "period_channels": (2,) * 5},
        **{"scale_channels": (4,) * 7, "scale_groups": (1, 2, 2, 2, 2, 2, 1)},
    },
    "utterances": 2,
    "encoder": {
        **{"layers": 1, "hidden": 8, "dim": 8},
        **{"resnet": (2, 2, 2, 2), "width": 8, "heads": 2, "conv_pos": 4, "conv_pos_groups": 2, "final_dim": 8},
    },
}


def shrink(config: ConfigDict, data: Path) -> ConfigDict:
    """`config` with a few channels, two steps, and `data` in place of its corpus; everything else stays as shipped."""
    config.system.update(_known(SMALL, config.system))
    rows = 2 * config.system.get("utterances", 1)
    config.data.update({"path": str(data), "batch_size": rows, "buckets": (10,), "workers": 0})
    config.optimizer.warmup_steps = 0
    config.train.update({"steps": 2, "log_every": 1, "save_every": 2, "patience": 0})
    config.validation.update({"every": 2, "split": "train", "clips": 1, "shown": 1, "griffin_lim_iterations": 2})
    return config


def _known(settings: dict, section: ConfigDict) -> dict:
    """Those of the settings that a section has, too."""
    return {
        name: _known(value, section[name]) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name in section
    }
