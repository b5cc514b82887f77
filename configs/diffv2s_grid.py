"""DiffV2S on GRID speaker s1, small enough for two CPU cores.

Data and encoder: as configs/avhubert_pretrain_grid.py says and, for the prompts, which have to see several speakers,
data/talker as configs/avhubert_pretrain_talker.py says.
Command: `v2s-jax train --config=configs/diffv2s_grid.py --workdir=runs/diffv2s_grid` (both stages)
"""

from ml_collections import ConfigDict

from v2s_jax.systems import diffv2s
from v2s_jax.training.defaults import default_config

ENCODER = dict(  # as of configs/avhubert_pretrain_grid.py
    **{"activation": "relu", "resnet": (16, 32, 64, 128)},
    **{"layers": 3, "width": 160, "hidden": 480, "heads": 4, "conv_pos": 32, "conv_pos_groups": 8},
)


def get_config():
    """The experiment."""
    config = default_config()
    config.system = diffv2s.default_config("tiny", "dit")
    config.system.encoder.update(ENCODER)
    config.system.decoder.update({"layers": 4, "width": 160, "hidden": 480, "condition": 160 + 256})
    config.system.crop = 56
    config.system.drop = 0.1

    config.data.path = "data/grid_s1"
    config.data.batch_size = 8
    config.data.cache = True
    config.data.augment.flip = 0.0

    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup_steps = 300
    config.optimizer.weight_decay = 0.03
    config.ema.decay = 0.998

    config.train.stages = ("speaker", "decoder")
    config.train.init_from = "models/avhubert_grid"
    config.train.steps = 8000
    config.validation.every = 1000
    config.validation.clips = 24
    config.stages.speaker = ConfigDict(
        {
            "system": {"utterances": 2},
            "data": {"path": "data/grid_s1,data/grid_others,data/talker", "batch_size": 16},
            "optimizer": {"learning_rate": 3e-3, "warmup_steps": 50},
            "train": {"steps": 800, "best": "val/retrieval_v_g"},
            "validation": {"every": 200, "clips": 0},
        }
    )
    return config
