"""AV-HuBERT, tiny, pre-trained on the synthetic talkers: naming clusters of MFCCs, as its first iteration does.

Data: `v2s-jax prepare talker --clips-per-speaker 22 --out data/talker` (extra `talker`), then
`v2s-jax prepare tokens --data data/talker --out data/talker_units --units mfcc --clusters 100`
Command: `v2s-jax train --config=configs/avhubert_pretrain_talker.py --workdir=runs/avhubert`
The encoder alone, for `load_avhubert`:
`v2s-jax export --model runs/avhubert --part encoder --out models/talker_encoder`

To adapt an imported encoder to a data set with units, start from it by `--config.train.init_from=models/avhubert`, with
the settings of its size, which an error names. The head begins anew where its number of clusters is another.
"""

from v2s_jax.systems import avhubert_pretrain
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = avhubert_pretrain.default_config("tiny", clusters=100)
    config.system.shown_weight = 1.0  # there is little to learn from here

    config.data.path = "data/talker_units"
    config.data.batch_size = 8
    config.data.buckets = (75, 125)
    config.data.cache = True

    config.optimizer.schedule = "linear"
    config.optimizer.warmup_steps = 120  # 8 % of the steps, as the released models
    config.optimizer.clip_norm = 10.0
    config.ema.decay = 0.99

    config.train.steps = 1500
    config.train.best = "val/hidden_accuracy"
    config.validation.every = 300
    return config
