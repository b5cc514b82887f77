"""AV-HuBERT, small, pre-trained on GRID for two CPU cores: naming clusters of MFCCs, as its first iteration does.

Its ResNet comes from `svts` trained on the same clips, and stays: 40 minutes are too few to learn to see from.

Data: `v2s-jax prepare grid --source GRID --speakers s1 --out data/grid_s1_plain`,
`v2s-jax prepare grid --source GRID --speakers s2,s3,s5,s31 --out data/grid_others_plain`, then
`v2s-jax prepare tokens --data data/grid_s1_plain --out data/grid_s1 --units mfcc --speaker-encoder voices-ge2e` and
`v2s-jax prepare tokens --data data/grid_others_plain --out data/grid_others --units mfcc
--codebook data/grid_s1/codebook.safetensors --speaker-encoder voices-ge2e`
Command: `v2s-jax train --config=configs/avhubert_pretrain_grid.py --workdir=runs/avhubert_grid`, then
`v2s-jax export --model runs/avhubert_grid --part encoder --out models/avhubert_grid`
"""

from v2s_jax.systems import avhubert_pretrain
from v2s_jax.training.defaults import default_config

ENCODER = dict(
    **{"activation": "relu", "resnet": (16, 32, 64, 128)},  # as of configs/svts_grid.py
    **{"layers": 4, "width": 256, "hidden": 768, "heads": 4, "conv_pos": 32, "conv_pos_groups": 8},
    **{"layerdrop": 0.0, "feature_grad_mult": 1.0},
)


def get_config():
    """The experiment."""
    config = default_config()
    config.system = avhubert_pretrain.default_config("tiny", clusters=100)
    config.system.encoder.update(ENCODER)
    config.system.crop = 56
    config.system.shown_weight = 1.0

    config.data.path = "data/grid_s1,data/grid_others"
    config.data.batch_size = 8
    config.data.cache = True
    config.data.augment.flip = 0.0  # one face, filmed from one side

    config.optimizer.schedule = "linear"
    config.optimizer.warmup_steps = 200
    config.optimizer.clip_norm = 10.0
    config.ema.decay = 0.99

    config.train.grafts = (("runs/svts_grid", "frontend", "encoder/frontend"),)
    config.train.rules = (("encoder/frontend/.*", "frozen"), ("(?!encoder/frontend/).*", "train"))
    config.train.steps = 3000
    config.train.best = "val/hidden_accuracy"
    config.validation.every = 500
    return config
