"""AV2A-WaveGAN on the lipspeakers of TCD-TIMIT at the S size of its family's front end and conformer.

Data: `v2s-jax prepare tcd_timit --source TCD_TIMIT --out data/tcd_timit`
V2A, then drafts:
`v2s-jax train --config=configs/av2a_wavegan_tcd_timit.py:video --workdir=runs/av2a_wavegan_tcd_timit_video`,
`v2s-jax prepare drafts --data data/tcd_timit --model runs/av2a_wavegan_tcd_timit_video
--out data/tcd_timit_drafts`
Command:
`v2s-jax train --config=configs/av2a_wavegan_tcd_timit.py:dropout --workdir=runs/av2a_wavegan_tcd_timit_dropout`
Variants: as configs/av2a_wavegan_grid.py says; schedule and batch are those of configs/av2a_tcd_timit.py, and ours.
"""

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    config = runpy.run_path(str(HERE / "av2a_tcd_timit.py"))["get_config"]("v2a")
    return runpy.run_path(str(HERE / "av2a_wavegan_grid.py"))["grown"](config, "tcd_timit", variant, "full")
