"""SVTS-L on LRS3 at the size of the paper (2205.02058); its schedule and batch are ours.

Data: `v2s-jax prepare lrs3 --source LRS3 --out data/lrs3`
Command: `v2s-jax train --config=configs/svts_lrs3.py --workdir=runs/svts_lrs3`
"""

from v2s_jax.systems import svts
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = svts.default_config("L")

    config.data.path = "data/lrs3"
    config.data.batch_size = 64
    config.data.buckets = (50, 75, 100, 125, 150)
    config.data.workers = 8

    config.precision.compute = "bfloat16"
    config.optimizer.warmup_steps = 5000

    config.train.steps = 150_000
    config.train.save_every = 2000
    config.validation.every = 5000
    return config
