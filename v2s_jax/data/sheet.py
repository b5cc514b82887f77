"""The contact sheet: crops of some clips on one picture, to be looked at before anything trains on them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from v2s_jax.constants import FACE_CROPS, MOUTH_SIZE
from v2s_jax.data.metadata import read_metadata
from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.media.atomic import replacing

ROWS = 24
MOUTHS = 10  # of each clip, evenly over its length
LABEL_HEIGHT = 14
ROW_HEIGHT = MOUTH_SIZE + LABEL_HEIGHT


def contact_sheet(folder: Path, path: Path, rows: int = ROWS) -> None:
    """Draws clips of the data set `folder` as rows of mouth crops and identity crops into the PNG `path`.

    The first half are the clips in which the face was detected least, the rest are spread evenly over the data set.
    """
    clips = _choose(folder, rows)
    width = (MOUTHS + FACE_CROPS) * MOUTH_SIZE
    sheet = Image.new("RGB", (width, len(clips) * ROW_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (split, index) in enumerate(clips):
        record = ShardedDataset(folder, split).read(index, {"mouth", "face"})
        top = row * ROW_HEIGHT
        label = f"{split}  {record.id}  {record.text}  {record.n_frames} frames, face in {record.coverage:.0%}"
        draw.text((3, top + 1), label.encode("latin-1", "replace").decode("latin-1"), fill="black")
        for column, crop in enumerate(_crops(record)):
            sheet.paste(crop, (column * MOUTH_SIZE, top + LABEL_HEIGHT))
    with replacing(path) as file:
        sheet.save(file, "PNG")


def _crops(record: Record) -> list[Image.Image]:
    assert record.mouth is not None  # every record has its mouth
    moments = np.linspace(0, record.n_frames - 1, MOUTHS).round().astype(int)
    faces = () if record.face is None else record.face[:FACE_CROPS]
    return [Image.fromarray(frame) for frame in record.mouth[moments]] + [
        Image.fromarray(face).resize((MOUTH_SIZE, MOUTH_SIZE)) for face in faces
    ]


def _choose(folder: Path, rows: int) -> list[tuple[str, int]]:
    """Places (split, index): the clips of least coverage first, then others evenly."""
    clips = [
        (coverage, name, index)
        for name, split in read_metadata(folder).splits.items()
        for index, coverage in enumerate(split.coverage)
    ]
    clips.sort()
    worst = clips[: rows // 2]
    rest = clips[rows // 2 :]
    spread = [rest[i] for i in np.linspace(0, len(rest) - 1, min(rows - len(worst), len(rest))).astype(int)]
    return [(split, index) for _, split, index in worst + spread]
