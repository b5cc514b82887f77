"""HiFi-GAN, small: a vocoder trained on the sound of GRID and synthetic voices for two CPU cores.

Data: `v2s-jax prepare grid --source GRID --speakers s1 --out data/grid_s1`,
`v2s-jax prepare grid --source GRID --speakers s2,s3,s5,s31 --out data/grid_others` (few clips: they count four times)
and `v2s-jax prepare talker --out data/talker` (synthetic).
Commands: first the generator alone, then, from its weights, against critics:
`v2s-jax train --config=configs/hifigan_small.py --workdir=runs/vocoder_start`
`v2s-jax train --config=configs/hifigan_small.py --workdir=runs/vocoder --config.train.stage=gan
--config.train.init_from=runs/vocoder_start --config.train.best=val/mel/generator --config.train.steps=20000
--config.optimizer.learning_rate=3e-4`
"""

from v2s_jax.systems import hifigan
from v2s_jax.training.defaults import default_config

OTHERS = 4  # times that the clips of the other speakers count


def get_config():
    """The experiment."""
    config = default_config()
    config.system = hifigan.default_config("small")
    config.system.spectrum_weight = 10.0
    config.system.gain_db = (-15.0, 6.0)
    config.system.speed = (0.8, 1.2)

    config.data.path = ",".join(["data/grid_s1", "data/talker"] + OTHERS * ["data/grid_others"])
    config.data.batch_size = 8
    config.data.buckets = (16,)  # of which 13 are used: 8320 samples
    config.data.cache = True

    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.final_fraction = 0.1
    config.optimizer.warmup_steps = 100
    config.optimizer.b1 = 0.8
    config.optimizer.b2 = 0.99
    config.optimizer.no_decay = ""
    config.optimizer.clip_norm = 100.0
    config.ema.decay = 0.998

    config.train.stage = "reconstruction"
    config.train.steps = 6000
    config.train.best = "val/mel"
    config.train.best_is = "min"
    config.validation.every = 1000
    config.validation.clips = 16
    return config
