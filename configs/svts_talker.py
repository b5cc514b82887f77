"""SVTS, tiny, on the synthetic talkers: how the embedded default is trained (its model card has the exact commands).

Data: `v2s-jax prepare talker --clips-per-speaker 22 --out data/talker` (extra `talker`)
Command: `v2s-jax train --config=configs/svts_talker.py --workdir=runs/svts_talker`
"""

from v2s_jax.systems import svts
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = svts.default_config("tiny")

    config.data.path = "data/talker"
    config.data.batch_size = 8
    config.data.buckets = (75, 125)
    config.data.cache = True
    config.data.augment.mask_seconds = 0.16

    config.optimizer.warmup_steps = 100
    config.ema.decay = 0.99

    config.train.steps = 1500
    config.validation.every = 300
    config.validation.clips = 12
    return config
