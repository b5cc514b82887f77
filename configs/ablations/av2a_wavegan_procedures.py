"""AV2A's three procedures in the domain of the waveform beside their V2A, all trained by configs/av2a_wavegan_grid.py.

Command, where the workdirs are below runs/:
`v2s-jax ablate configs/ablations/av2a_wavegan_procedures.py --data data/grid_s1 --split test --out ablation`
"""

import runpy
from pathlib import Path


def get_variants():
    """As in the domain of the mel."""
    mel = runpy.run_path(str(Path(__file__).with_name("av2a_procedures.py")))["get_variants"]
    return mel(v2a="runs/av2a_wavegan_grid_video", name="runs/av2a_wavegan_grid")
