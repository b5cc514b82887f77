"""SVTS on GRID speaker s1, narrow enough for two CPU cores: the S layout with a quarter of its ResNet channels.

Data: `v2s-jax prepare grid --source GRID --speakers s1 --out data/grid_s1` (800 clips to train, 50 and 50 kept).
Command: `v2s-jax train --config=configs/svts_grid.py --workdir=runs/svts_grid` (about 2 steps a second on two cores)
The model in README.md's table began with the front end of configs/avhubert_pretrain_grid.py, in two legs (and
`envelope_weight` left out the pauses between words then), until validation ESTOI by Griffin-Lim stood still (0.317 at
steps 1500, 2500 and 4000 of the second):
`v2s-jax train --config=configs/svts_grid.py --workdir=runs/svts_grid_1
--config.train.grafts="(('models/avhubert_grid','frontend','frontend'),)" --config.train.steps=6000`, and then
`v2s-jax train --config=configs/svts_grid.py --workdir=runs/svts_grid --config.train.init_from=runs/svts_grid_1
--config.train.steps=5000 --config.optimizer.learning_rate=6e-4`
On a GPU or TPU use the paper's size: `--config.system.resnet=(64,128,256,512) --config.system.hidden=2048`.
"""

from v2s_jax.systems import svts
from v2s_jax.training.defaults import default_config


def get_config():
    """The experiment."""
    config = default_config()
    config.system = svts.default_config("S")
    config.system.resnet = (16, 32, 64, 128)
    config.system.hidden = 1024
    config.system.crop = 56  # mouth and jaw, at four tenths of the cost of the whole crop
    config.system.ctc_weight = 0.1  # text and envelopes, beside the paper's loss: 40 minutes of speech are few
    config.system.envelope_weight = 0.5
    config.system.tempo = (0.87, 1.15)
    config.system.dropout = 0.15

    config.data.path = "data/grid_s1"
    config.data.batch_size = 4
    config.data.cache = True
    config.data.augment.flip = 0.0  # one face, filmed from one side
    config.data.augment.mask_seconds = 0.3

    config.optimizer.learning_rate = 8e-4
    config.optimizer.warmup_steps = 200
    config.optimizer.weight_decay = 0.03
    config.ema.decay = 0.998

    config.train.steps = 12000
    config.train.patience = 2400
    config.validation.every = 600
    config.validation.clips = 24
    return config
