"""Few steps for From Faces to Voices on GRID: its decoder taught by a guided copy of itself (`system.reflow`).

Data: as configs/faces2voices_grid.py says, and a model trained by it in runs/faces2voices_grid.
Command: `v2s-jax train --config=configs/faces2voices_reflow_grid.py --workdir=runs/faces2voices_reflow`, then
`v2s-jax export --model runs/faces2voices_reflow --out models/faces2voices_few`, which leaves the teacher out
"""

import runpy
from pathlib import Path

BEFORE = "runs/faces2voices_grid"


def get_config():
    """The experiment."""
    config = runpy.run_path(str(Path(__file__).with_name("faces2voices_grid.py")))["get_config"]()
    config.system.reflow = 16
    config.system.sampler.update({"evaluations": 2, "classifier_free": 1.0})  # what the taught decoder speaks with

    config.optimizer.learning_rate = 2e-4
    config.train.stage = "reflow"
    config.train.init_from = ""
    branches = [(BEFORE, part, part) for part in ("encoder", "voice", "decoder")]
    config.train.grafts = (*branches, (BEFORE, "decoder", "teacher"))
    config.train.steps = 1500
    return config
