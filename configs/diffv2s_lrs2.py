"""DiffV2S on LRS2 as on LRS3, which says what is the paper's and what ours.

Data: `v2s-jax prepare lrs2 --source LRS2 --out data/lrs2_plain`, then
`v2s-jax prepare tokens --data data/lrs2_plain --out data/lrs2 --speaker-encoder models/speaker` (the published weights)
Encoder and stages: as configs/diffv2s_lrs3.py says.
Command: `v2s-jax train --config=configs/diffv2s_lrs2.py --workdir=runs/diffv2s_lrs2`
"""

import runpy
from pathlib import Path


def get_config():
    """The experiment."""
    config = runpy.run_path(str(Path(__file__).with_name("diffv2s_lrs3.py")))["get_config"]()
    config.data.path = "data/lrs2"
    return config
