"""How many clips a second one core loads: from shards, and as a torch DataLoader over mp4 files would.

Both are counted in processor seconds of this process, all its threads together, so the figures hold for a core whatever
else the machine does.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.constants import CROP_SIZE, SAMPLE_RATE
from v2s_jax.data.loader import Loader, LoaderConfig


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Clips per second of one core.

    Attributes:
        shards: the loader's, augmentation and batching included.
        video: decoding the clips' files with PyAV and batching them.
    """

    shards: float
    video: float

    @property
    def ratio(self) -> float:
        """How many times faster the shards are."""
        return self.shards / self.video


def measure(
    path: str | PathLike[str],
    split: str,
    clips: Sequence[str | PathLike[str]],
    config: LoaderConfig = LoaderConfig(),  # noqa: B008 (frozen)
    seconds: float | int = 5.0,
) -> Throughput:
    """Measures both on mouth and sound.

    Args:
        path: a prepared data set.
        split: of it.
        clips: video files of such clips. They are decoded only, and cut without looking for a face: the least that a
            data set of files would have to do, without the cost of torch itself.
        config: of the loader; its workers are not used.
        seconds: processor seconds to spend on each.
    """
    config = dataclasses.replace(config, workers=0)
    batches = Loader(path, split, config).batches()
    files = itertools.cycle(clips)

    def batch_of_videos() -> None:
        pairs = [decode(next(files)) for _ in range(config.batch_size)]
        for part in range(2):
            pad([pair[part] for pair in pairs])

    shards = config.batch_size * _rate(lambda: next(batches), seconds)
    batches.close()
    return Throughput(shards, config.batch_size * _rate(batch_of_videos, seconds))


def decode(path: str | PathLike[str]) -> tuple[UInt8[np.ndarray, "T 88 88"], Float[np.ndarray, "n"]]:
    """A clip's grey picture, its centre cut, and its sound at 16 kHz, by PyAV alone."""
    import av

    frames, sound = [], []
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for frame in container.decode(streams):
            if isinstance(frame, av.VideoFrame):
                picture = frame.to_ndarray(format="gray")
                top, left = (picture.shape[0] - CROP_SIZE) // 2, (picture.shape[1] - CROP_SIZE) // 2
                frames.append(picture[top : top + CROP_SIZE, left : left + CROP_SIZE])
            elif isinstance(frame, av.AudioFrame):
                sound += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.stack(frames), np.concatenate(sound) if sound else np.zeros(0, np.float32)


def pad(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stacks arrays of different lengths, zeros after the shorter ones."""
    out = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out


def _rate(work: Callable[[], object], seconds: float | int) -> float:
    """Calls of `work` per processor second, after one to warm up."""
    work()
    calls, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        work()
        calls += 1
    return calls / (time.process_time() - start)
