"""A small GE2E speaker encoder on synthetic voices, real ones beside them where there are any.

Data: `v2s-jax prepare voices --out data/voices` (extra `talker`), or with `--source DIR` a tree of sounds or clips,
`DIR/<speaker>/...` (see data_pipelines/voices), synthetic and real speakers side by side.
Command: `v2s-jax train --config=configs/ge2e_voices.py --workdir=runs/ge2e` (about 1 step a second on two cores)
"""

from v2s_jax.systems import ge2e
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = ge2e.default_config("small")

    config.data.path = "data/voices"
    config.data.batch_size = 96  # 24 speakers
    config.data.buckets = (40,)  # 1.6 s
    config.data.cache = True

    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 200
    config.optimizer.clip_norm = 3.0
    config.ema.decay = 0.995

    config.train.steps = 4000
    config.train.best = "val/loss"
    config.train.best_is = "min"
    config.validation.every = 250
    return config
