"""Speaks a long recording by the real command: how much memory it takes, its windows' joints, its progress.

`python -m tests.synthesis.hour --minutes 60` strings clips together to a recording of that length and speaks it after a
short one, twice, each time in a process of its own (the first of which compiles); a test does twenty seconds.
Pieces of the clips are of irregular length, so that what is said at a joint has nothing to do with where the joints
are.

An hour of GRID's clips by `grid-s1-diffv2s` took 716 MB at most, three minutes before it 656. At its 1799 joints of
windows the mel makes no greater steps than elsewhere, 5.1 and 5.3 dB, though the level changes by 11.5 dB on average
from before to after, elsewhere by 9.3: this model knows clips of three seconds alone.
"""

import argparse
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tests.program import PROGRAM
from v2s_jax.constants import HOP_LENGTH, MEL_PER_FRAME, VIDEO_FPS
from v2s_jax.data.corpus import video_files
from v2s_jax.features.mel import log_mel
from v2s_jax.media.audio import read_wav
from v2s_jax.media.mux import write_video
from v2s_jax.media.video import read_frames
from v2s_jax.synthesis.defaults import synthesis_config
from v2s_jax.synthesis.demo import shipped_clip
from v2s_jax.synthesis.pretrained import DEFAULT, load_pretrained
from v2s_jax.synthesis.vocoder import CHUNK, FADE, quiet_windows
from v2s_jax.synthesis.windows import plan

DECIBELS = 20 / np.log(10)  # of natural logarithms of magnitudes


def talking(clips: list[Path], frames: int) -> Iterator[np.ndarray]:
    """So many pictures of clips one after the other, of each all but a few at its ends."""
    rng = random.Random(0)
    pieces = (
        itertools.islice(read_frames(clip), rng.randint(0, 12), rng.randint(45, 75)) for clip in itertools.cycle(clips)
    )
    return itertools.islice(itertools.chain.from_iterable(pieces), frames)


def anonymous_megabytes(pid: int) -> float:
    """Of a process and all it started; 0 of one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return 0.0
    own = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon")]
    return sum(own) + sum(map(anonymous_megabytes, map(int, children.split())))


def speak(clip: Path, out: Path, model: str) -> dict[str, float]:
    """Runs the command; returns the seconds it took, its longest silence, and its most memory at each kind of work."""
    said, doing, peaks = [time.monotonic()], "beginning", {"beginning": 0.0}
    words = ["synthesize", clip, "--out", out, "--model", model, "--mel", "--jobs", 1]
    environment = os.environ | {"XDG_CACHE_HOME": str(out.parent / "cache")}

    def listen(lines: Iterable[str]) -> None:
        nonlocal doing
        for line in lines:
            said.append(time.monotonic())
            doing = found[1] if (found := re.search(r": ([a-z ]+), at ", line)) else doing
            print(f"{said[-1] - said[0]:7.0f} s: {line}", end="", file=sys.stderr, flush=True)

    line = [*PROGRAM, *map(str, words)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment) as process:
        listener = threading.Thread(target=listen, args=(process.stderr,))
        listener.start()
        while process.poll() is None:
            peaks[doing] = max(peaks.get(doing, 0.0), anonymous_megabytes(process.pid))
            time.sleep(0.25)
        listener.join()
    assert process.returncode == 0
    said.append(time.monotonic())
    took = {"seconds": said[-1] - said[0], "longest silence": float(np.diff(said).max())}
    return took | {f"MB while {doing}": peak for doing, peak in peaks.items()}


def between(places: np.ndarray) -> np.ndarray:
    """Half way from each place to the next."""
    return (places[:-1] + places[1:]) // 2


def at_windows(mel: np.ndarray, model: str) -> dict[str, float]:
    """Joints of the network's windows, and as many places half way between them.

    The largest step from a frame to the next in the cross-fade, and how much the level after it is not that before.
    """
    settings = synthesis_config(load_pretrained(model)[0])
    windows = plan(len(mel) // MEL_PER_FRAME, settings.window, settings.overlap, settings.fade)
    joints, fade = MEL_PER_FRAME * np.array([w.keep_start for w in windows[1:]]), MEL_PER_FRAME * settings.fade
    found: dict[str, float] = {"joints": len(joints)}
    for name, places in (("at joints", joints), ("elsewhere", between(joints))):
        steps = [abs(np.diff(mel[at - 1 : at + fade + 1], axis=0)).mean(1).max() for at in places]
        jumps = [abs(mel[at + fade : at + fade + 10].mean() - mel[at - 10 : at].mean()) for at in places]
        found |= {f"step {name}": DECIBELS * np.mean(steps), f"level {name}": DECIBELS * np.mean(jumps)}
    return found


def at_chunks(mel: np.ndarray, wave: np.ndarray) -> dict[str, float]:
    """Joints of the vocoder's chunks: how far the mel heard is from that asked for, and the largest step of a sample.

    Elsewhere are places in pauses, too: the joints, had chunks been half as long, that are not.
    """
    joints = np.array([w.keep_start + FADE // 2 for w in quiet_windows(mel, CHUNK)[1:]])
    others = np.array([w.keep_start + FADE // 2 for w in quiet_windows(mel, CHUNK // 2)[1::2]])
    found: dict[str, float] = {"joints": len(joints)}
    for name, places in (("at joints", joints), ("elsewhere", others)):
        errors, steps = [], []
        for at in places:
            first = max(0, at - 20)
            heard = log_mel(wave[HOP_LENGTH * first : HOP_LENGTH * (at + 20)])
            near = slice(at - first - 4, at - first + 4)
            errors.append(abs(heard[near] - mel[first : at + 20][near]).mean())
            steps.append(abs(np.diff(wave[HOP_LENGTH * (at - 2) : HOP_LENGTH * (at + 2)])).max())
        found |= {f"error {name}": DECIBELS * np.mean(errors), f"largest step {name}": float(np.max(steps))}
    return found


def measure(
    folder: Path, lengths: list[float], clips: list[Path], model: str
) -> Iterator[tuple[str, dict[str, float]]]:
    """Speaks recordings one after the other; figures by name, as they come.

    Args:
        folder: for all of them; empty.
        lengths: minutes of each; joints are measured in the last.
        clips: what they are made of.
        model: shipped name or path.
    """
    for index, minutes in enumerate(lengths):
        frames, clip, out = round(60 * VIDEO_FPS * minutes), folder / "long.mp4", folder / f"out{index}"
        write_video(clip, talking(clips, frames), VIDEO_FPS, None)
        yield f"{minutes:g} minutes", speak(clip, out, model)
        mel, wave = np.load(out / "long.npy"), read_wav(out / "long.wav")
        assert len(mel) == MEL_PER_FRAME * frames and len(wave) == HOP_LENGTH * len(mel)
    yield "windows", at_windows(mel, model)
    yield "chunks", at_chunks(mel, wave)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--beside", type=float, default=5, help="minutes of the short one (%(default)s)")
    parser.add_argument("--clips", type=Path, help="a folder of clips of one speaker (default: the demo clip)")
    parser.add_argument("--model", default=DEFAULT)
    args = parser.parse_args(argv)
    clips = video_files(args.clips) if args.clips else [shipped_clip()[0]]
    with tempfile.TemporaryDirectory() as folder:
        lengths = [args.beside, args.beside, args.minutes]
        for name, figures in measure(Path(folder), lengths, clips, args.model):
            print(f"{name}: {json.dumps({key: round(value, 4) for key, value in figures.items()})}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
