"""DiffV2S, small, on the synthetic talkers, whose faces go with their voices: an hour of a CPU core.

Data: as configs/avhubert_pretrain_talker.py says. Encoder: that of configs/faces2voices_talker.py,
`v2s-jax export --model runs/faces2voices_talker --part encoder --out models/talker_encoder_2`
Command: `v2s-jax train --config=configs/diffv2s_talker.py --workdir=runs/diffv2s_talker` (both stages)
"""

from ml_collections import ConfigDict

from v2s_jax.systems import diffv2s
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = diffv2s.default_config("tiny")
    config.system.encoder.update({"activation": "relu", "resnet": (8, 16, 32, 64), "layers": 3})
    config.system.encoder.update({"width": 128, "hidden": 384})
    config.system.crop = 56
    config.system.decoder.update({"width": 112, "hidden": 336, "condition": 128 + 256})
    config.system.drop = 0.1

    config.data.path = "data/talker"
    config.data.batch_size = 8
    config.data.buckets = (75, 125)
    config.data.cache = True

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 100
    config.ema.decay = 0.99

    config.train.stages = ("speaker", "decoder")
    config.train.init_from = "models/talker_encoder_2"
    config.train.steps = 1600
    config.validation.every = 400
    config.validation.clips = 12
    config.stages.speaker = ConfigDict(
        {
            "system": {"utterances": 2},
            "data": {"batch_size": 16},
            "optimizer": {"learning_rate": 3e-3, "warmup_steps": 50},
            "train": {"steps": 300, "best": "val/retrieval_v_g"},
            "validation": {"every": 150, "clips": 0},
        }
    )
    return config
