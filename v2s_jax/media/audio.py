"""Sound of a clip: mono, 16 kHz, laid against the picture by timestamps; and sound files in and out."""

import io
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from v2s_jax.constants import SAMPLE_RATE, SAMPLES_PER_FRAME
from v2s_jax.errors import BadClip
from v2s_jax.media.atomic import replacing
from v2s_jax.media.container import Clock, decode, open_container
from v2s_jax.media.limits import Limits

# Timestamps may wander by this much against the count of samples before a gap (or an overlap) is believed: MPEG
# containers round a sound frame of 26 ms to 90 kHz ticks and Matroska to 1 ms, a lost packet is 20 ms and more.
_JITTER = 0.015  # seconds


def read_audio(
    path: str | os.PathLike,
    n_frames: int | None,
    *,
    start: float | None = None,
    max_seconds: float | int = Limits.max_seconds,
    problems: list[str] | None = None,
) -> Float[np.ndarray, "n"] | None:
    """The sound of a clip as mono float32 at 16 kHz in [-1, 1], sample 0 being the time of the first picture.

    What the file declares as encoder delay (the edit list of an mp4) is already removed by the decoder; everything else
    is laid out by timestamps, with zeros where there is no sound.

    Args:
        path: a clip, or a file with sound alone.
        n_frames: video frames at 25 fps; the result is exactly 640 times as long. By default as long as the sound.
        start: seconds on the file's clock that sample 0 stands for; by default that of the first picture, or without
            pictures of the first sound.
        max_seconds: longest sound read; the rest is left out.
        problems: gets the damage met, as parts of a sentence.

    Returns:
        The waveform, or None when the file has no sound track.

    Raises:
        BadClip: the file is missing, empty or no media file.
    """
    path, problems = Path(path), problems if problems is not None else []
    with open_container(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            return None
        if start is None and container.streams.video:
            start = _first_picture(path)
        pieces: list[tuple[int, np.ndarray]] = []
        for time, piece in _resampled(_runs(decode(container, stream, problems))):
            start = time if start is None else start
            at = round((time - start) * SAMPLE_RATE)
            if at > (max_seconds if n_frames is None else n_frames * SAMPLES_PER_FRAME / SAMPLE_RATE) * SAMPLE_RATE:
                break
            pieces.append((at, piece))
    if n_frames is None:
        end = min(max((at + len(piece) for at, piece in pieces), default=0), int(max_seconds * SAMPLE_RATE))
        n_frames = -(-max(end, 0) // SAMPLES_PER_FRAME)
    return _lay_out(pieces, n_frames * SAMPLES_PER_FRAME)


def _first_picture(path: Path) -> float | None:
    from v2s_jax.media.video import probe

    try:
        return probe(path).start
    except BadClip:
        return None


def _lay_out(pieces: list[tuple[int, np.ndarray]], length: int) -> np.ndarray:
    wave_out = np.zeros(length, np.float32)
    for at, piece in pieces:
        first, last = max(at, 0), min(at + len(piece), length)
        if first < last:
            wave_out[first:last] = piece[first - at : last - at]
    return np.clip(wave_out, -1, 1, out=wave_out)


def _runs(frames: Iterator[Any]) -> Iterator[tuple[float, int, np.ndarray]]:
    """(time, rate, mono samples) of each sound frame, on a clock that never runs back."""
    import av

    clock, resampler = Clock(), None
    for frame in frames:
        if frame.sample_rate <= 0 or frame.samples == 0:
            continue
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or kind != resampler[0]:
            # Only the sample format is changed here: swresample's float downmix of stereo is 3 dB too loud.
            resampler = kind, av.AudioResampler(format="fltp")
        time = clock(frame.time, frame.samples / frame.sample_rate)
        for planar in resampler[1].resample(frame):
            yield time, frame.sample_rate, planar.to_ndarray().mean(axis=0, dtype=np.float32)


def _resampled(runs: Iterator[tuple[float, int, np.ndarray]]) -> Iterator[tuple[float, np.ndarray]]:
    """(time, samples at 16 kHz), each uninterrupted run resampled as a whole, chunk by chunk."""
    import soxr

    stream: Any = None
    rate, begin, taken, given = 0, 0.0, 0, 0
    for time, new_rate, samples in runs:
        if stream is None or new_rate != rate or abs(begin + taken / rate - time) > _JITTER:
            if stream is not None:
                yield begin + given / SAMPLE_RATE, stream.resample_chunk(np.zeros(0, np.float32), last=True)
            stream, rate, begin, taken, given = soxr.ResampleStream(new_rate, SAMPLE_RATE, 1), new_rate, time, 0, 0
        piece = stream.resample_chunk(samples)
        yield begin + given / SAMPLE_RATE, piece
        taken, given = taken + len(samples), given + len(piece)
    if stream is not None:
        yield begin + given / SAMPLE_RATE, stream.resample_chunk(np.zeros(0, np.float32), last=True)


def read_wav(path: str | os.PathLike) -> Float[np.ndarray, "n"]:
    """Reads a sound file (any the decoder knows) as mono float32 at 16 kHz in [-1, 1], unpadded.

    Raises:
        BadClip: missing, empty, or no sound in it.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise BadClip(f"{path}: expected a sound file, found no sound track in it")
        pieces, first = [], None
        for time, piece in _resampled(_runs(decode(container, stream, []))):
            first = time if first is None else first
            pieces.append((round((time - first) * SAMPLE_RATE), piece))
    return _lay_out(pieces, max((at + len(piece) for at, piece in pieces), default=0))


def write_flac(path: str | os.PathLike, waveform: Float[np.ndarray, "n"], sample_rate: int = SAMPLE_RATE) -> None:
    """Writes a waveform in [-1, 1] (clipped to it) as 16-bit FLAC, in one piece or not at all.

    Raises:
        V2SError: as `write_wav`.
    """
    packed = io.BytesIO()
    with soundfile.SoundFile(packed, "w", sample_rate, 1, "PCM_16", format="FLAC") as out:
        for block in _pcm(waveform):
            out.write(block)
    with replacing(path) as file:
        file.write(packed.getbuffer())


def write_wav(path: str | os.PathLike, waveform: Float[np.ndarray, "n"], sample_rate: int = SAMPLE_RATE) -> None:
    """Writes a waveform in [-1, 1] (clipped to it) as 16-bit PCM, in one piece or not at all.

    Raises:
        V2SError: the file cannot be written (no such folder, no permission, full disk).
    """
    with replacing(path) as file, wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        for block in _pcm(waveform):
            out.writeframesraw(block.tobytes())


def _pcm(waveform: np.ndarray) -> Iterator[np.ndarray]:
    """16-bit samples, a minute at a time."""
    minute = 60 * SAMPLE_RATE
    for start in range(0, len(waveform), minute):
        block = np.nan_to_num(waveform[start : start + minute])
        yield np.round(np.clip(block, -1, 1) * 32767).astype("<i2")
