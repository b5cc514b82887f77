"""AV2A-WaveGAN on LRW at the M size of its family's front end and conformer.

Data: `v2s-jax prepare lrw --source LRW --out data/lrw`
V2A, then drafts:
`v2s-jax train --config=configs/av2a_wavegan_lrw.py:video --workdir=runs/av2a_wavegan_lrw_video`,
`v2s-jax prepare drafts --data data/lrw --model runs/av2a_wavegan_lrw_video --out data/lrw_drafts`
Command: `v2s-jax train --config=configs/av2a_wavegan_lrw.py:dropout --workdir=runs/av2a_wavegan_lrw_dropout`
Variants: as configs/av2a_wavegan_grid.py says; schedule and batch are those of configs/av2a_lrw.py, and ours.
"""

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    config = runpy.run_path(str(HERE / "av2a_lrw.py"))["get_config"]("v2a")
    return runpy.run_path(str(HERE / "av2a_wavegan_grid.py"))["grown"](config, "lrw", variant, "full")
