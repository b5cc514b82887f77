"""Trains the toy on a disk that is full for a while: `python -m tests.training.full WORKDIR`.

From one step to another no file may grow beyond a few bytes, and no new one either, which the system refuses as it
refuses to write to a full disk. A program of its own, since the limit is that of a whole process.
"""

import resource
import sys

import numpy as np

from tests.training import toy
from tests.training.disk import limit_files
from v2s_jax.constants import N_MELS
from v2s_jax.features.griffin_lim import griffin_lim
from v2s_jax.training import loop

STEPS, FULL, FREE = 10, 3, 7  # the disk is full when batch number 3 is asked for, and free again at number 7
LIMITS = {FULL: 64, FREE: resource.RLIM_INFINITY}


def main(workdir):
    toy.use_toy(setattr)
    griffin_lim(np.zeros((8, N_MELS), np.float32), 1)  # librosa compiles, and keeps that on a disk that is not ours
    next_batch, calls = loop.Run.next_batch, []

    def limited(self, batches):
        calls.append(1)
        if (step := len(calls)) in LIMITS:
            limit_files(LIMITS[step])
        return next_batch(self, batches)

    loop.Run.next_batch = limited
    settings = {"train.steps": STEPS, "train.save_every": 2, "validation.every": 5, "train.profile": (4, 5)}
    return loop.train(toy.toy_config(**settings), workdir)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
