"""Any shipped experiment, made small enough to train two steps in a test."""

from pathlib import Path

from ml_collections import ConfigDict

from v2s_jax.constants import SPEAKER_DIM

SMALL = {
    **{"resnet": (2, 2), "blocks": 1, "width": 8, "heads": 2, "hidden": 8, "kernel_size": 3},
    "generator": {
        **{"upsample_initial_channel": 16, "upsample_rates": (10, 16), "upsample_kernel_sizes": (20, 32)},
        "resblock_kernel_sizes": (3,),
        "resblock_dilation_sizes": ((1, 2),),
        **{"blocks": 1, "width": 8, "hidden": 8, "iterations": 2, "channels": (4, 3, 2, 2, 2)},
    },
    "listener": {"encoder": {"layers": 1, "hidden": 4, "dim": 4}},
    "window": 5,
    "critics": {
        **{"periods": (2,), "scales": 1, "period_channels": (2,) * 5},
        **{"wave": (2,), "power": (2,), "scale_channels": (4,) * 7, "scale_groups": (1, 2, 2, 2, 2, 2, 1)},
    },
    "utterances": 2,
    "content": {"blocks": 1, "width": 8, "heads": 2, "hidden": 8, "kernel_size": 3},
    "prosody": {"blocks": 1, "width": 8, "heads": 2, "hidden": 8, "kernel_size": 3},
    **{"expression": (2, 2), "face": 128},
    "decoder": {"layers": 1, "width": 8, "heads": 2, "hidden": 8, "conv_pos": 4, "conv_pos_groups": 2},
    "sampler": {"evaluations": 2, "guidance_by": "none"},  # whose program takes long to compile
    "audio_encoder": {"width": 8, "blocks": 1},
    **{"crop": 16, "dropout": 0.1},
    "encoder": {
        **{"layers": 1, "hidden": 8, "dim": 8},
        **{"resnet": (2, 2), "width": 8, "heads": 2, "conv_pos": 4, "conv_pos_groups": 2, "final_dim": 8},
    },
}

FRAMES = 14  # doubled until they fit, the tests' clips all have one length, for which validation compiles
AUGMENT = {"augment": {"flip": 0.5, "mask_seconds": 0.16}}


def shrink(config: ConfigDict, data: Path) -> ConfigDict:
    """`config` with a few channels, two steps, and `data` in place of its corpus.

    Numbers that no program depends on become the same in all, so that configs which differ in nothing else are tested
    once; everything else stays as shipped.
    """
    config.system.update(_known(SMALL, config.system))
    if "decoder" in config.system:
        features = 2 * config.system.content.width if "content" in config.system else config.system.encoder.width
        config.system.decoder.condition = features + SPEAKER_DIM
    config.train.update({"init_from": "", "grafts": (), "patience": 0})
    rows = 2 * config.system.get("utterances", 1)
    config.ema.decay = 0.5
    few = {
        "data": {"path": str(data), "batch_size": rows, "buckets": (FRAMES,), "workers": 0, "cache": True} | AUGMENT,
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 0, "weight_decay": 0.01},
        "train": {"steps": 2, "log_every": 1, "save_every": 2},
        "validation": {"every": 2, "split": "train", "clips": 1, "shown": 1, "griffin_lim_iterations": 2},
    }
    config.update(few)
    for stage in config.stages.values():
        rows = 2 * stage.get("system", {}).get("utterances", 1)
        stage.update(_known(few | {"data": few["data"] | {"batch_size": rows}}, stage))
        if "validation" in stage:
            stage.validation.clips = 0
    return config


def _known(settings: dict, section: ConfigDict) -> dict:
    """Those of the settings that a section has, too; a model inside is one of the same settings."""
    known = {
        name: _known(value, section[name]) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name in section
    }
    return known | ({"v2a": _known(settings, section["v2a"])} if "v2a" in section else {})
