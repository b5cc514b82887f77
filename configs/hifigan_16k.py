"""HiFi-GAN V1 (2010.05646) at 16 kHz, hop 160, with the paper's optimiser and losses; needs a GPU or TPU.

Data: any prepared corpus with sound, such as `v2s-jax prepare lrs3 --source LRS3 --out data/lrs3`; only that is read.
Command: `v2s-jax train --config=configs/hifigan_16k.py --workdir=runs/hifigan_16k`
"""

from v2s_jax.systems import hifigan
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = hifigan.default_config("16k")

    config.data.path = "data/lrs3"
    config.data.batch_size = 16
    config.data.buckets = (14,)  # 8960 samples, as published vocoders of this shape
    config.data.workers = 8

    config.optimizer.learning_rate = 2e-4
    config.optimizer.schedule = "exponential"
    config.optimizer.final_fraction = 0.3  # 0.999 an epoch, as the paper, over LRS3's 1200 epochs or so
    config.optimizer.b1 = 0.8
    config.optimizer.b2 = 0.99
    config.optimizer.no_decay = ""
    config.optimizer.clip_norm = 0.0
    config.ema.decay = 0.0

    config.train.stage = "gan"
    config.train.steps = 1_000_000
    config.train.log_every = 100
    config.train.save_every = 5000
    config.train.best = "val/mel/generator"
    config.train.best_is = "min"
    config.validation.every = 20_000
    return config
