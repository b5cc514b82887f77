"""Judges the talkers: is each face found, each voice understood? Run `python -m data_pipelines.talker.check`."""

import argparse
import itertools

import numpy as np

from data_pipelines.grid.grammar import random_code
from data_pipelines.talker.identities import HELD_OUT, N_IDENTITIES, identity
from data_pipelines.talker.render import perform
from data_pipelines.talker.speech import utter
from v2s_jax.evaluation.recognizer import Recognizer
from v2s_jax.evaluation.words import align
from v2s_jax.features.pitch import pitch
from v2s_jax.media.dlib_models import hog_detector


def word_errors(number: int, sentences: int, recognizer: Recognizer) -> tuple[float, float]:
    """Word error rate over random GRID sentences, and the median F0 in Hz."""
    rng = np.random.default_rng([7, number])
    errors, voiced = 0, []
    for _ in range(sentences):
        spoken = utter(random_code(rng), identity(number).voice, rng)
        errors += align(spoken.text.split(), recognizer(spoken.wave)).errors
        f0 = pitch(spoken.wave)
        voiced.append(f0[f0 > 0])
    return errors / (6 * sentences), float(np.median(np.concatenate(voiced)))


def detection(number: int, step: int) -> tuple[float, float]:
    """Share of every `step`-th frame in which the HOG detector finds a face at -0.4, and the lowest score."""
    frames = itertools.islice(perform(number, "pwij3a").frames, 0, None, step)
    scores = [max(hog_detector().run(frame, 0, -0.4)[1], default=-np.inf) for frame in frames]
    return float(np.mean(np.isfinite(scores))), float(min(scores))


def main() -> None:
    """Prints one line for each identity and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=10, help="GRID sentences a voice is judged by")
    parser.add_argument("--step", type=int, default=15, help="every how many-th frame is searched for a face")
    args = parser.parse_args()
    recognizer = Recognizer("grid")
    print("identity  voice               F0 Hz    WER  faces found  lowest score")
    rows = []
    for number in range(N_IDENTITIES):
        wer, f0 = word_errors(number, args.sentences, recognizer)
        found, lowest = detection(number, args.step)
        rows.append((wer, found, lowest))
        name = f"{number}{' held out' if number in HELD_OUT else ''}"
        line = f"{name:12s}{identity(number).voice.name:18s}{f0:5.0f}  {100 * wer:4.1f} %  {100 * found:9.0f} %"
        print(f"{line}  {lowest:10.2f}", flush=True)
    wer, found, _ = np.mean(rows, axis=0)
    print(f"{'all':35s}  {100 * wer:4.1f} %  {100 * found:9.0f} %  {min(row[2] for row in rows):10.2f}")


if __name__ == "__main__":
    main()
