"""AV2A-WaveGAN, tiny, on the synthetic talkers.

V2A, then drafts:
`v2s-jax train --config=configs/av2a_wavegan_talker.py:video --workdir=runs/av2a_wavegan_talker_video`,
`v2s-jax prepare drafts --data data/talker --model runs/av2a_wavegan_talker_video --out data/talker_drafts`
Command: `v2s-jax train --config=configs/av2a_wavegan_talker.py:dropout --workdir=runs/av2a_wavegan_talker_dropout`
Variants: as configs/av2a_wavegan_grid.py says.
"""

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    config = runpy.run_path(str(HERE / "svts_talker.py"))["get_config"]()
    return runpy.run_path(str(HERE / "av2a_wavegan_grid.py"))["grown"](config, "talker", variant, "small")
