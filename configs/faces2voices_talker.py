"""From Faces to Voices, small, on the synthetic talkers, whose faces go with their voices: an hour of a CPU core.

The encoder learns on, but for its front end, which is that of the shipped `talker-svts`.

Data and encoder: as configs/avhubert_pretrain_talker.py says, with `--face-encoder dlib` for its `prepare tokens`.
Command: `v2s-jax train --config=configs/faces2voices_talker.py --workdir=runs/faces2voices_talker`
"""

from v2s_jax.systems import faces2voices
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = faces2voices.default_config("tiny", "dit", clusters=100, face=128)
    config.system.encoder.update({"activation": "relu", "resnet": (8, 16, 32, 64), "layers": 3})
    config.system.encoder.update({"width": 128, "hidden": 384})
    config.system.crop = 56
    config.system.decoder.update({"layers": 4, "width": 96, "hidden": 288})
    config.system.content.hidden = config.system.prosody.hidden = 192
    config.system.ctc_weight = 0.1
    config.system.prediction = "x_1"
    config.system.norm = "l1"

    config.data.path = "data/talker"
    config.data.batch_size = 8
    config.data.buckets = (75, 125)
    config.data.cache = True

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 100
    config.ema.decay = 0.99

    config.train.stage = "joint"
    config.train.init_from = "models/talker_encoder"
    config.train.rules = (("encoder/frontend/.*", "frozen"), ("(?!encoder/frontend/).*", "train:joint"))
    config.train.steps = 1600
    config.validation.every = 400
    config.validation.clips = 12
    return config
