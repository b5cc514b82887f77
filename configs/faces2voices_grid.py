"""From Faces to Voices on GRID speaker s1, small enough for two CPU cores: all parts together on a frozen encoder.

Data: as configs/avhubert_pretrain_grid.py says, with `--face-encoder dlib` for its `prepare tokens`.
Encoder: as that file says.
Command: `v2s-jax train --config=configs/faces2voices_grid.py --workdir=runs/faces2voices_grid`
The decoder is a DiT; `--config=configs/faces2voices_grid.py:unet1d` takes the U-Net of Matcha's type.
"""

from v2s_jax.systems import faces2voices
from v2s_jax.training.defaults import default_config

ENCODER = dict(  # as of configs/avhubert_pretrain_grid.py
    **{"activation": "relu", "resnet": (16, 32, 64, 128)},
    **{"layers": 3, "width": 160, "hidden": 480, "heads": 4, "conv_pos": 32, "conv_pos_groups": 8},
)


def get_config(decoder: str = "dit"):
    """The experiment."""
    config = default_config()
    config.system = faces2voices.default_config("tiny", decoder, clusters=100, face=128)
    config.system.encoder.update(ENCODER)
    if decoder == "dit":
        config.system.decoder.update({"layers": 4, "width": 160, "hidden": 480})
    config.system.crop = 56
    config.system.ctc_weight = 0.1
    config.system.prediction = "x_1"
    config.system.norm = "l1"

    config.data.path = "data/grid_s1"
    config.data.batch_size = 8
    config.data.cache = True
    config.data.augment.flip = 0.0  # one face, filmed from one side

    config.optimizer.learning_rate = 8e-4
    config.optimizer.warmup_steps = 200
    config.optimizer.weight_decay = 0.03
    config.ema.decay = 0.998

    config.train.stage = "joint"
    config.train.init_from = "models/avhubert_grid"
    config.train.steps = 3000
    config.validation.every = 500
    config.validation.clips = 24
    return config
