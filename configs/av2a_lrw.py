"""AV2A-MelSpec on LRW at the M size of its family (2306.15464 names V2A-MelSpec-M-SP); schedule and batch are ours.

Data: `v2s-jax prepare lrw --source LRW --out data/lrw`
V2A, then drafts: `v2s-jax train --config=configs/av2a_lrw.py:v2a --workdir=runs/svts_lrw`,
`v2s-jax prepare drafts --data data/lrw --model runs/svts_lrw --out data/lrw_drafts`
Command: `v2s-jax train --config=configs/av2a_lrw.py:dropout_true --workdir=runs/av2a_lrw_dropout_true`
Variants: `v2a`, a plain svts, and those of configs/av2a_grid.py.
"""

import runpy
from pathlib import Path

from v2s_jax.systems import svts
from v2s_jax.training.defaults import default_config


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    config = plain()
    config.system = svts.default_config("M")
    config.data.path = "data/lrw"
    config.data.batch_size = 64
    config.data.buckets = (30,)  # 29 frames, a word each
    return config if variant == "v2a" else grown(config, "lrw", variant)


def plain():
    """What corpora of hours share."""
    config = default_config()
    config.data.workers = 8
    config.precision.compute = "bfloat16"
    config.optimizer.warmup_steps = 2000
    config.train.steps = 100_000
    config.train.save_every = 2000
    config.validation.every = 2500
    return config


def grown(config, name: str, variant: str):
    """Of configs/av2a_grid.py."""
    return runpy.run_path(str(Path(__file__).with_name("av2a_grid.py")))["grown"](config, name, variant)
