"""DiffV2S on LRS2 at the paper's values (2308.07787) where it tells them: AV-HuBERT Large, its prompts and the decoder.

Of the paper: the sizes, AdamW at 1e-4, a batch of 64, 300k updates of the decoder, 1000 steps, L1 of x_0, DDIM and
guidance through the decoder at 1000. Ours: the number of DDIM's steps, where guidance acts, averaging, the schedule of
the learning rate, everything about the prompts' stage but its loss.

Data: `v2s-jax prepare lrs2 --source LRS2 --out data/lrs2_plain`, then
`v2s-jax prepare tokens --data data/lrs2_plain --out data/lrs2 --speaker-encoder models/speaker` (the published weights)
Encoder: `v2s-jax import avhubert large_vox_iter5.pt --out models/avhubert_large`
Command: `v2s-jax train --config=configs/diffv2s_lrs2.py --workdir=runs/diffv2s_lrs2` (both stages; one alone with
`--config.train.stage=speaker`, or with `--config.train.stage=decoder --config.train.init_from=runs/prompts`)
"""

from ml_collections import ConfigDict

from v2s_jax.systems import diffv2s
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = diffv2s.default_config("paper")
    config.system.sampler.update({"solver": "ddim", "grid": "uniform", "evaluations": 100})
    config.system.sampler.update({"guidance": 1000.0, "guidance_by": "score", "guided": (0.0, 0.5)})

    config.data.path = "data/lrs2"
    config.data.batch_size = 64
    config.data.buckets = (50, 75, 100, 125, 150)
    config.data.workers = 8

    config.precision.compute = "bfloat16"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 2000

    config.train.stages = ("speaker", "decoder")
    config.train.init_from = "models/avhubert_large"
    config.train.steps = 300_000
    config.train.save_every = 2000
    config.validation.every = 10_000
    config.stages.speaker = ConfigDict(
        {
            "optimizer": {"learning_rate": 1e-3, "warmup_steps": 200},
            "train": {"steps": 20_000, "best": "val/retrieval_v_g"},
            "validation": {"every": 2000, "clips": 0},
        }
    )
    return config
