"""From Faces to Voices (2503.16956) on LRS3, part by part: content, timbre, prosody, then the decoder.

Of the paper: the order, AV-HuBERT, ArcFace, the units of HuBERT, conditional flow matching with optimal-transport
paths, classifier-free guidance and few steps. It tells no sizes and no settings; those here follow the same
laboratory's V2SFlow (2411.19486): 1000 units, label smoothing 0.1, conditions dropped at 0.1, guidance of 2, a DiT of 8
layers and 512 channels.

Data: `v2s-jax prepare lrs3 --source LRS3 --out data/lrs3_plain`, then `v2s-jax prepare tokens --data data/lrs3_plain
--out data/lrs3 --speaker-encoder models/speaker --face-encoder arcface.onnx --units hubert --hubert models/hubert
--layer 9 --clusters 1000`
Encoder: `v2s-jax import avhubert large_vox_iter5.pt --out models/avhubert_large`
Command: `v2s-jax train --config=configs/faces2voices_lrs3.py --workdir=runs/faces2voices_lrs3` (all parts; one alone
with `--config.train.stage=content`)
"""

from ml_collections import ConfigDict

from v2s_jax.systems import faces2voices
from v2s_jax.training.defaults import default_config


def get_config(decoder: str = "dit"):
    """The experiment; `unet1d` behind the file's name takes the U-Net of Matcha's type."""
    config = default_config()
    config.system = faces2voices.default_config("large", decoder)

    config.data.path = "data/lrs3"
    config.data.batch_size = 64
    config.data.buckets = (50, 75, 100, 125, 150)
    config.data.workers = 8

    config.precision.compute = "bfloat16"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 10_000

    config.train.stages = ("content", "timbre", "prosody", "decoder")
    config.train.init_from = "models/avhubert_large"
    config.train.steps = 400_000
    config.train.save_every = 2000
    config.validation.every = 10_000
    for part, best in (("content", "unit_accuracy"), ("timbre", "timbre_cosine"), ("prosody", "pitch")):
        config.stages[part] = ConfigDict(
            {
                "train": {"steps": 50_000, "best": f"val/{best}", "best_is": "max" if part == "content" else "min"},
                "validation": {"clips": 0},
            }
        )
    return config
