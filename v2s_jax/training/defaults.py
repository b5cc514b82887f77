"""The settings every experiment starts from; files in `configs/` override what differs."""

import dataclasses

from ml_collections import ConfigDict

from v2s_jax.data.loader import LoaderConfig


def default_config() -> ConfigDict:
    """A config without a system and data set: `config.system.name` and `config.data.path` are the experiment's."""
    config = ConfigDict()
    config.seed = 0
    config.system = ConfigDict({"name": ""})
    config.data = ConfigDict({"path": "", **dataclasses.asdict(LoaderConfig())})
    config.optimizer = ConfigDict(
        {
            "name": "adamw",
            "learning_rate": 1e-3,
            "schedule": "cosine",  # cosine, linear, constant, exponential
            "warmup_steps": 0,
            "final_fraction": 0.01,  # of the peak rate at the last step
            "b1": 0.9,
            "b2": 0.98,
            "eps": 1e-8,
            "weight_decay": 0.01,
            "no_decay": r"(.*/)?(bias|scale)",  # regex over the whole path
            "clip_norm": 1.0,  # 0: no clipping
        }
    )
    config.ema = ConfigDict({"decay": 0.999})  # 0: no averages
    config.precision = ConfigDict({"compute": "float32"})  # or bfloat16
    config.mesh = ConfigDict(
        {
            "data": -1,  # -1: all devices that the other axes leave
            "fsdp": 1,
            "tensor": 1,
            "slices": 1,  # TPU slices or nodes that the data axis goes over first
            "rules": (),  # (regex, (axis or None for each dimension)), before the default rule
            "min_shard_size": 2**18,  # arrays with fewer elements are replicated
        }
    )
    config.train = ConfigDict(
        {
            "steps": 1000,
            "stage": "",  # of system.stages(); may be empty when there is one
            "stages": (),  # several, one after the other, if `stage` is empty; see `stages.py`
            "rules": (),  # replaces the stage's rules
            "frozen": "",  # regex over the whole path: what does not train, whatever the rules say
            "accumulate": 1,  # parts that a batch is taken in, one after the other, to save memory; see `step.py`
            "init_from": "",  # training workdir, model by path or shipped name, whose weights a new run starts from
            "grafts": (),  # (likewise, branch there, branch here): weights it starts with, too
            "log_every": 20,  # steps
            "save_every": 500,  # steps; every validation saves too
            "keep": 2,  # latest checkpoints kept, beside the best one
            "best": "val/estoi",  # metric of the best checkpoint
            "best_is": "max",  # or min
            "patience": 0,  # stop after so many steps without a better best metric; 0: never
            "on_nonfinite": "stop",  # or rollback: to the newest checkpoint, and on with the batches after the bad one
            "rollbacks": 3,  # at most so many in a run
            "stalled_after": 3600,  # seconds without a step after which one of several processes ends; 0: never
            "profile": (0, 0),  # first and last step of a profile in workdir/profile; (0, 0): none
        }
    )
    config.stages = ConfigDict()  # settings of single stages, by name
    config.validation = ConfigDict(
        {
            "every": 500,  # steps; 0: never
            "split": "val",
            "clips": 32,  # synthesized and scored by ESTOI and STOI
            "shown": 4,  # of these, in pictures and sound
            "griffin_lim_iterations": 32,
        }
    )
    return config
