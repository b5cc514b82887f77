"""From Faces to Voices on LRS2 as on LRS3, which says what is the paper's and what ours.

Data: `v2s-jax prepare lrs2 --source LRS2 --out data/lrs2_plain`, then `prepare tokens` as for LRS3.
Command: `v2s-jax train --config=configs/faces2voices_lrs2.py --workdir=runs/faces2voices_lrs2`
"""

import runpy
from pathlib import Path


def get_config():
    """The experiment."""
    config = runpy.run_path(str(Path(__file__).with_name("faces2voices_lrs3.py")))["get_config"]()
    config.data.path = "data/lrs2"
    return config
