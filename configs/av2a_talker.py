"""AV2A-MelSpec, tiny, on the synthetic talkers; its V2A is configs/svts_talker.py.

V2A, then drafts: `v2s-jax train --config=configs/svts_talker.py --workdir=runs/svts_talker`,
`v2s-jax prepare drafts --data data/talker --model runs/svts_talker --out data/talker_drafts`
Command: `v2s-jax train --config=configs/av2a_talker.py:dropout_true --workdir=runs/av2a_talker_dropout_true`
Variants: as configs/av2a_grid.py says.
"""

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    config = runpy.run_path(str(HERE / "svts_talker.py"))["get_config"]()
    return runpy.run_path(str(HERE / "av2a_grid.py"))["grown"](config, "talker", variant)
