"""AV-HuBERT, tiny, pre-trained on the synthetic talkers: naming clusters of MFCCs, as its first iteration does.

Its ResNet comes from the shipped `talker-svts` and stays; it spells the texts, too, and mostly sees without hearing.

Data: `v2s-jax prepare talker --clips-per-speaker 22 --out data/talker_plain` (extra `talker`), then
`v2s-jax prepare tokens --data data/talker_plain --out data/talker --units mfcc --speaker-encoder voices-ge2e`
Command, in a checkout: `v2s-jax train --config=configs/avhubert_pretrain_talker.py --workdir=runs/avhubert`, then
`v2s-jax export --model runs/avhubert --part encoder --out models/talker_encoder`

To adapt an imported encoder to a data set with units, start from it by `--config.train.init_from=models/avhubert`
without `train.grafts` and `train.frozen`, with the settings of its size, which an error names. The head begins anew
where its number of clusters is another.
"""

from v2s_jax.systems import avhubert_pretrain
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = avhubert_pretrain.default_config("tiny", clusters=100)
    config.system.encoder.update({"activation": "relu", "resnet": (8, 16, 32, 64)})  # as of talker-svts
    config.system.encoder.update({"layers": 3, "width": 128, "hidden": 384, "layerdrop": 0.0})
    config.system.encoder.update({"modality_dropout": 0.8, "audio_dropout": 0.8})
    config.system.crop = 56  # mouth and jaw, at four tenths of the cost of the whole crop
    config.system.shown_weight = 1.0  # there is little to learn from here
    config.system.ctc_weight = 0.3

    config.data.path = "data/talker"
    config.data.batch_size = 8
    config.data.buckets = (75, 125)
    config.data.cache = True

    config.optimizer.schedule = "linear"
    config.optimizer.warmup_steps = 120  # 8 % of the steps, as the released models
    config.optimizer.clip_norm = 10.0
    config.ema.decay = 0.99

    config.train.grafts = (("v2s_jax/assets/talker-svts", "frontend", "encoder/frontend"),)
    config.train.frozen = "encoder/frontend/.*"
    config.train.steps = 1500
    config.train.best = "val/ctc"
    config.train.best_is = "min"
    config.validation.every = 300
    return config
