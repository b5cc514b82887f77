"""AV-HuBERT, small, pre-trained on GRID for two CPU cores: naming clusters of MFCCs, as its first iteration does.

It also spells the texts, and mostly sees without hearing: 40 minutes of speech are too few to learn to see from by
clusters alone, and what comes after it only sees.

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
    **{"activation": "relu", "resnet": (16, 32, 64, 128)},
    **{"layers": 3, "width": 160, "hidden": 480, "heads": 4, "conv_pos": 32, "conv_pos_groups": 8},
    **{"layerdrop": 0.0, "feature_grad_mult": 1.0},
)


def get_config():
    """The experiment."""
    config = default_config()
    config.system = avhubert_pretrain.default_config("tiny", clusters=100)
    config.system.encoder.update(ENCODER)
    config.system.encoder.update({"modality_dropout": 0.8, "audio_dropout": 0.9})
    config.system.crop = 56  # mouth and jaw, at four tenths of the cost of the whole crop
    config.system.shown_weight = 1.0
    config.system.ctc_weight = 0.3

    config.data.path = "data/grid_s1"
    config.data.batch_size = 4
    config.data.cache = True
    config.data.augment.flip = 0.0  # one face, filmed from one side
    config.data.augment.mask_seconds = 0.3

    config.optimizer.learning_rate = 8e-4
    config.optimizer.warmup_steps = 200
    config.optimizer.weight_decay = 0.03
    config.optimizer.clip_norm = 10.0
    config.ema.decay = 0.998

    config.train.steps = 5600
    config.train.best = "val/ctc"
    config.train.best_is = "min"
    config.validation.every = 400
    return config
