"""TensorBoard's event files, written by the loop itself: `tensorboardX`'s own writer is a thread that a full disk ends.

A file is a sequence of records (`tensorflow/core/lib/io/record_writer.h`): length, its checksum, an `Event`, its
checksum.
"""

import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.training.appender import Appender

_VERSION = "brain.Event:2"


class Board:
    """One event file.

    Args:
        folder: it is made in.
        start_step: what earlier files tell of later steps is not shown.
        say: see `Appender`.
    """

    def __init__(self, folder: str | os.PathLike, start_step: int, say: Callable[[str], None]):
        from tensorboardX import summary  # only here: it loads protobuf
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._summary, self._event = summary, Event
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._file = Appender(Path(folder) / name, say)
        self._add(Event(file_version=_VERSION))
        if start_step:
            self._add(Event(step=start_step + 1, session_log=SessionLog(status=SessionLog.START)))

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._file.add(record(event.SerializeToString()))

    def scalar(self, step: int, name: str, value: float) -> None:
        """A number."""
        self._add(self._event(step=step, summary=self._summary.scalar(name, value)))

    def picture(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """A picture."""
        self._add(self._event(step=step, summary=self._summary.image(name, picture, dataformats="HWC")))

    def sound(self, step: int, name: str, wave: Float[np.ndarray, "n"], rate: int) -> None:
        """A waveform in [-1, 1]."""
        self._add(self._event(step=step, summary=self._summary.audio(name, wave[:, None], sample_rate=rate)))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def record(data: bytes) -> bytes:
    """A record of such data."""
    from tensorboardX.record_writer import masked_crc32c  # as above

    header = struct.pack("<Q", len(data))
    return header + struct.pack("<I", masked_crc32c(header)) + data + struct.pack("<I", masked_crc32c(data))
