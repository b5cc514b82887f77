"""How the quality of what AV2A listens to moves what it makes of it: drafts by worse and better models, refined.

Data: the same clips with drafts by each, as `v2s-jax prepare drafts --data data/grid_s1 --model M --out
data/drafts_NAME` makes them; `true` are the recordings' own mels (`--model` one of `:spoiled` with `--sampler rounds=0
--sampler snr=100 --sampler gap=0`).
Command: `v2s-jax ablate configs/ablations/av2a_drafts.py --model MODEL --data data/grid_s1 --split test --out DIR`
"""

DRAFTS = ("wavegan", "v2a", "diffv2s", "faces2voices", "true")


def get_variants():
    """What it makes of its own draft; and of every other's, which `rounds=0` gives as it is."""
    own = [{"name": f"own-{rounds}", "sampler": {"rounds": rounds}} for rounds in (0, 1)]
    return own + [
        {
            "name": f"{name}-{rounds}",
            "data": f"data/drafts_{name}",
            "system": {"base": "none"},
            "sampler": {"rounds": rounds},
        }
        for name in DRAFTS
        for rounds in (0, 1)
    ]
