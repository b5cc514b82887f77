"""AV2A-MelSpec on the lipspeakers of TCD-TIMIT at the S size of its family; schedule and batch are ours.

Data: `v2s-jax prepare tcd_timit --source TCD_TIMIT --out data/tcd_timit`
V2A, then drafts: `v2s-jax train --config=configs/av2a_tcd_timit.py:v2a --workdir=runs/svts_tcd_timit`,
`v2s-jax prepare drafts --data data/tcd_timit --model runs/svts_tcd_timit --out data/tcd_timit_drafts`
Command: `v2s-jax train --config=configs/av2a_tcd_timit.py:dropout_true --workdir=runs/av2a_tcd_timit_dropout_true`
Variants: `v2a`, a plain svts, and those of configs/av2a_grid.py.
"""

import runpy
from pathlib import Path

from v2s_jax.systems import svts


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    lrw = runpy.run_path(str(Path(__file__).with_name("av2a_lrw.py")))
    config = lrw["plain"]()
    config.system = svts.default_config("S")
    config.data.path = "data/tcd_timit"
    config.data.batch_size = 16
    config.data.buckets = (75, 100, 125, 150)
    config.train.steps = 50_000
    return config if variant == "v2a" else lrw["grown"](config, "tcd_timit", variant)
