"""AV2A-MelSpec (2307.16584) on GRID speaker s1, as narrow as its V2A, which is configs/svts_grid.py.

V2A, then drafts: `v2s-jax train --config=configs/svts_grid.py --workdir=runs/svts_grid`,
`v2s-jax prepare drafts --data data/grid_s1 --model runs/svts_grid --out data/grid_s1_drafts`
Command: `v2s-jax train --config=configs/av2a_grid.py:dropout_true --workdir=runs/av2a_grid_dropout_true`

Variants: `both`, `dropout` and `dropout_true` (if none is named) are the paper's procedures. `audio` pre-trains the
decoder on sound alone and `video` makes a V2A of it (workdirs runs/av2a_grid_audio, runs/av2a_grid_video); with
`,pretrained` behind it a procedure grows from that V2A and not from the svts (its drafts: name them by
--config.data.path), and with `,base` what drafts when it speaks is the V2A inside, frozen, which `both` has anyway.
`spoiled` hears the true sound with noise and gaps; `v2s-jax evaluate` of it takes
`--sampler snr=0 --sampler gap=0.3`.
"""

import runpy
from pathlib import Path

from v2s_jax.systems import audio_visual, av2a


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    plain = runpy.run_path(str(Path(__file__).with_name("svts_grid.py")))["get_config"]()
    return grown(plain, "grid", variant)


def grown(config, name: str, variant: str):
    """The experiment of a V2A turned into one of an AV2A that begins with its weights.

    Args:
        config: of an `svts`.
        name: of the corpus, in the names of workdirs.
        variant: as above.
    """
    procedure, words = audio_visual.read_variant(variant)
    section, v2a = config.system, f"runs/svts_{name}"
    if "pretrained" in words:
        section, v2a = av2a.grow(config.system, "video"), f"runs/av2a_{name}_video"
    config.system = av2a.grow(config.system, "dropout" if procedure == "spoiled" else procedure)
    config.system.v2a = section
    config.system.base = "v2a" if "base" in words else config.system.base
    decoder = ("conformer", "head", *(["text_head"] if section.ctc_weight else []))
    if procedure == "video":
        config.train.grafts = audio_visual.grafts(f"runs/av2a_{name}_audio", decoder)
    elif procedure != "audio":
        config.train.grafts = audio_visual.grafts(v2a, ("frontend", "project", *decoder))
    if config.system.base == "v2a":
        config.train.grafts += ((v2a, "", "base"),)
    if procedure == "spoiled":
        config.system.draft_source, config.system.base = "spoiled", "none"
    elif procedure not in ("audio", "video"):
        config.data.path += "_drafts"
    return config
