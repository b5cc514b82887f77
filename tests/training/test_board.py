import numpy as np
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter

from v2s_jax.training.board import Board, record


def events(folder):
    """Those of a folder's only file."""
    (path,) = folder.iterdir()
    data, found = path.read_bytes(), []
    while data:
        content = data[12 : 12 + int.from_bytes(data[:8], "little")]
        assert data.startswith(record(content))
        data = data[16 + len(content) :]
        found.append(Event.FromString(content))
    return found


def test_records_are_those_of_tensorflow(tmp_path):
    writer = RecordWriter(str(tmp_path / "records"))
    for data in (b"", b"some data"):
        writer.write(data)
    writer.close()
    assert (tmp_path / "records").read_bytes() == record(b"") + record(b"some data")


def test_numbers_pictures_and_sounds_have_their_steps(tmp_path):
    board = Board(tmp_path / "board", 0, print)
    board.scalar(3, "loss", 0.5)
    board.picture(4, "mel/0", np.zeros((4, 5, 3), np.uint8))
    board.sound(5, "real/0", np.zeros(1600, np.float32), 16000)
    board.close()
    first, *others = events(tmp_path / "board")
    assert first.file_version == "brain.Event:2"
    values = [(event.step, event.summary.value[0]) for event in others]
    assert [(step, value.tag) for step, value in values] == [(3, "loss"), (4, "mel/0"), (5, "real/0")]
    assert values[0][1].simple_value == 0.5 and (values[1][1].image.height, values[1][1].image.width) == (4, 5)
    assert values[2][1].audio.sample_rate == 16000 and b"WAVE" in values[2][1].audio.encoded_audio_string


def test_a_run_that_goes_on_hides_what_earlier_files_tell_of_later_steps(tmp_path):
    Board(tmp_path / "board", 20, print).close()
    assert [(event.step, event.session_log.status) for event in events(tmp_path / "board")][1:] == [
        (21, SessionLog.START)
    ]
