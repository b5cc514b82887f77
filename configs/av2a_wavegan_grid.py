"""AV2A-WaveGAN (2307.16584) on GRID speaker s1, narrow enough for two CPU cores; its V2A is the variant `video`.

V2A, then drafts:
`v2s-jax train --config=configs/av2a_wavegan_grid.py:video --workdir=runs/av2a_wavegan_grid_video`,
`v2s-jax prepare drafts --data data/grid_s1 --model runs/av2a_wavegan_grid_video --out data/grid_s1_drafts`
Command:
`v2s-jax train --config=configs/av2a_wavegan_grid.py:dropout_true --workdir=runs/av2a_wavegan_grid_dropout_true`

Each trains first without critics and then against them. Variants: `video`, and the paper's procedures `both`, `dropout`
and `dropout_true` (if none is named). `audio` pre-trains the decoder on sound alone (workdir
runs/av2a_wavegan_grid_audio); `video,pretrained` begins with it (workdir runs/av2a_wavegan_grid_video_pretrained), and
so do procedures with `,pretrained` behind them. With `,base` what drafts is the V2A inside, frozen. The speech encoder
of the perceptual loss is the shipped one.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

from v2s_jax.systems import audio_visual, av2a_wavegan

LISTENER = "voices-ge2e"


def get_config(variant: str = "dropout_true"):
    """The experiment."""
    plain = runpy.run_path(str(Path(__file__).with_name("svts_grid.py")))["get_config"]()
    return grown(plain, "grid", variant, "small")


def grown(config, name: str, variant: str, width: str):
    """The experiment of an `svts` turned into one of an AV2A-WaveGAN.

    Args:
        config: of the `svts`.
        name: of the corpus, in the names of workdirs.
        variant: as above.
        width: of generator and critics.
    """
    procedure, words = audio_visual.read_variant(variant)
    config.system = av2a_wavegan.grow(config.system, procedure, width)
    config.system.base = "v2a" if "base" in words else config.system.base
    runs, ending = f"runs/av2a_wavegan_{name}", "_pretrained" if "pretrained" in words else ""
    decoder = ("conformer", "generator", *(["text_head"] if config.system.ctc_weight else []))
    parts = ("frontend", "project", *decoder)
    config.train.grafts = ((LISTENER, "", "listener/encoder"),)
    if procedure == "video" and ending:
        config.train.grafts += audio_visual.grafts(f"{runs}_audio", decoder)
    elif procedure not in ("audio", "video"):
        config.data.path += "_drafts"
        config.train.grafts += audio_visual.grafts(f"{runs}_video{ending}", parts)
    if config.system.base == "v2a":
        config.train.grafts += tuple((f"{runs}_video{ending}", part, f"base/{part}") for part in parts)
    config.train.stages = ("reconstruction", "gan")
    config.optimizer.players = ConfigDict({"critic": {"learning_rate": 4e-4, "b1": 0.5, "weight_decay": 0.0}})
    config.stages.gan = ConfigDict({"optimizer": {"learning_rate": 2e-4}})
    return config
