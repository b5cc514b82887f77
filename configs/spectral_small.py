"""The default vocoder: a network for magnitudes and Griffin-Lim's iterations, trained on one CPU core.

Data: `v2s-jax prepare grid --source GRID --speakers s1 --out data/grid_s1`,
`v2s-jax prepare grid --source GRID --speakers s2,s3,s5,s31 --out data/grid_others` (few clips: they count four times)
and `v2s-jax prepare talker --out data/talker` (synthetic).
Commands: `v2s-jax train --config=configs/spectral_small.py --workdir=runs/vocoder`
`v2s-jax export --model runs/vocoder --part generator --dtype float16 --out vocoders/spectral-small`
"""

from v2s_jax.systems import spectral
from v2s_jax.training.defaults import default_config

OTHERS = 4  # times that the clips of the other speakers count


def get_config():
    """The experiment."""
    config = default_config()
    config.system = spectral.default_config()

    config.data.path = ",".join(["data/grid_s1", "data/talker"] + OTHERS * ["data/grid_others"])
    config.data.batch_size = 16
    config.data.buckets = (19,)  # of which 15 are used: 0.6 s
    config.data.cache = True

    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.final_fraction = 0.02
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.99
    config.optimizer.clip_norm = 1.0
    config.ema.decay = 0.998

    config.train.steps = 5000
    config.train.best = "val/loss"
    config.train.best_is = "min"
    config.validation.every = 1000
    config.validation.clips = 16
    return config
