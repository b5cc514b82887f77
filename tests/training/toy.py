"""A two-layer system, a loader of made-up clips and a config: the smallest things the trainer can run on.

`python -m tests.training.toy WORKDIR [--set a.b=JSON ...]` trains it in a process of its own, for tests that send
signals, or in one of several.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.data.batch import Batch
from v2s_jax.data.loader import Loader
from v2s_jax.errors import V2SError
from v2s_jax.features.filters import scale_mel, unscale_mel
from v2s_jax.features.mel import log_mel_jax
from v2s_jax.systems.base import frame_mask
from v2s_jax.training import cluster, command, loop, plan
from v2s_jax.training.defaults import default_config

FRAMES, ROWS = 15, 8


class Toy(nnx.Module):
    """Pooled mouth -> trunk, batch norm, dropout -> head -> mel."""

    fields = frozenset({"mouth", "audio"})
    kind = "mel"

    def __init__(self, rngs, dtype=jnp.float32, width=16, poison=-1):
        self.poison = poison
        # No bias: under the norm its gradient would be pure rounding noise, which Adam blows up to full steps.
        self.trunk = nnx.Linear(64, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.norm = nnx.BatchNorm(width, momentum=0.9, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(0.2)
        self.heads = nnx.List([nnx.Linear(width, MEL_PER_FRAME * N_MELS, dtype=dtype, rngs=rngs)])

    def __call__(self, batch, rngs):
        rows, frames = batch.mouth.shape[:2]
        pooled = batch.mouth.reshape(rows, frames, 8, 11, 8, 11).mean((3, 5), dtype=jnp.float32) / 255
        hidden = nnx.relu(self.norm(self.trunk(pooled.reshape(rows, frames, 64))))
        mel = self.heads[0](self.dropout(hidden, rngs=rngs))
        return mel.reshape(rows, MEL_PER_FRAME * frames, N_MELS).astype(jnp.float32)

    def loss(self, batch, rngs):
        target = scale_mel(log_mel_jax(batch.audio))
        mask = frame_mask(MEL_PER_FRAME * batch.length, target.shape[1])[..., None]
        l1 = jnp.sum(jnp.where(mask, abs(self(batch, rngs) - target), 0)) / (jnp.maximum(mask.sum(), 1) * N_MELS)
        # A batch marked by this mouth value makes the loss infinite: the test of what a blow-up does.
        return jnp.where(batch.mouth[0, 0, 0, 0] == self.poison, jnp.inf, l1), {"l1": l1}

    def synthesize(self, batch, rngs, sampler=None):
        return unscale_mel(self(batch, rngs))

    def stages(self):
        return {"all": [(".*", "train")], "head": [("trunk/.*|norm/.*", "frozen"), ("heads/.*", "train")]}


class ToyLoader(Loader):
    """Batches as a pure function of (seed, step); the first mouth pixel of `poison_step` is 0 and 1 elsewhere."""

    def __init__(self, seed=0, rows=ROWS, poison_step=-1):
        self.seed, self.rows, self.poison_step = seed, rows, poison_step

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        mouth = rng.integers(1, 256, (self.rows, FRAMES, 88, 88), np.uint8)
        # The sound says how bright the picture is, so that there is something to learn.
        tone = np.sin(np.arange(640 * FRAMES) * 2 * np.pi * 220 / 16000) * rng.uniform(0.1, 0.5, (self.rows, 1))
        mouth = (mouth * (tone.max(1) * 2).reshape(-1, 1, 1, 1)).astype(np.uint8)
        mouth[0, 0, 0, 0] = 0 if step == self.poison_step else 1
        return Batch(length=np.full(self.rows, FRAMES, np.int32), mouth=mouth, audio=tone.astype(np.float32))

    def batches(self, start_step=0, rows=None) -> Iterator[Batch]:
        step = start_step
        while True:
            yield self.share(step, rows)
            step += 1

    def share(self, step, rows):
        chosen = slice(None) if rows is None else list(rows)
        return jax.tree.map(lambda x: x[chosen], self.batch(step))

    def state(self, step):
        return {"step": step, "seed": self.seed, "fingerprint": os.environ.get("TOY_FINGERPRINT", "good")}

    def check_state(self, state):
        assert state["seed"] == self.seed
        return state["step"]

    def epoch(self, rows=None) -> Iterator[Batch]:
        yield self.share(10_000, rows)


def toy_config(**settings):
    """`toy_config(**{"train.steps": 4})`: the defaults shrunk, with dotted settings on top."""
    config = default_config()
    config.system.update({"name": "toy", "width": 16, "poison": -1})
    config.data.update({"path": "toy", "batch_size": ROWS, "poison_step": -1})
    config.train.update(
        {"stage": "all", "steps": 4, "log_every": 1, "save_every": 2, "best": "val/loss", "best_is": "min"}
    )
    config.synthesis = ConfigDict({"levels": ()})  # of no data set
    config.validation.update({"every": 0, "clips": 2, "shown": 1, "griffin_lim_iterations": 2})
    config.update_from_flattened_dict(settings)
    return config


def build(config, rngs, dtype=jnp.float32):
    return Toy(rngs, dtype, config.width, config.poison)


def open_loader(config, split, system):
    assert system.fields == Toy.fields
    return ToyLoader(config.seed, config.data.batch_size, config.data.poison_step)


def flat(tree) -> dict[str, np.ndarray]:
    """Leaves as numpy by key path, random keys as their data."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    plain = [
        (path, jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x) for path, x in leaves
    ]
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in plain}


def assert_same(first, second):
    """Equal to the bit, leaf by leaf."""
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    for path, value in first.items():
        np.testing.assert_array_equal(value, second[path], err_msg=path)


def use_toy(patch):
    """Puts the toy in the registry's and the loader's place; `patch` sets an attribute."""
    patch(plan, "build", build)
    patch(plan, "open_loader", open_loader)


def main(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON")
    parser.add_argument("--devices", type=int, default=1)
    command.add_cluster_arguments(parser)
    args = parser.parse_args(argv)
    jax.config.update("jax_num_cpu_devices", args.devices)
    use_toy(setattr)
    settings = {name: json.loads(value) for name, value in (setting.split("=", 1) for setting in args.set)}
    try:
        cluster.connect(args)
        return loop.train(toy_config(**settings), args.workdir)
    except V2SError as error:
        print(error, file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
