import threading
import time

import pytest

from v2s_jax.errors import BadClip
from v2s_jax.serving.desk import Desk, Full
from v2s_jax.serving.limited import Gone


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def put(desk):
    task = desk.open()
    (task.folder / "clip.mp4").touch()
    desk.put(task)
    return task


def test_one_at_a_time_in_order():
    seen, running = [], []

    def work(task):
        running.append(task)
        assert len(running) == 1
        seen.append(task.id)
        time.sleep(0.01)
        running.remove(task)

    with Desk(work) as desk:
        tasks = [put(desk) for _ in range(3)]
        until(lambda: all(task.state == "done" for task in tasks))
        assert seen == [task.id for task in tasks] and len(set(seen)) == 3
        assert desk.folder.stat().st_mode & 0o077 == 0
        assert all((task.folder / "clip.mp4").exists() for task in tasks)
    assert not desk.folder.exists()


def test_what_goes_wrong_is_the_tasks_own_and_its_files_go(capsys):
    def work(task):
        raise errors.pop()

    errors = [ValueError("oh"), BadClip("a.mp4: no face")]
    with Desk(work) as desk:
        first, second = put(desk), put(desk)
        until(lambda: second.ended)
        assert (first.state, first.error) == ("failed", "a.mp4: no face")
        assert second.state == "failed" and second.error.startswith("unexpected ValueError")
        assert not first.folder.exists() and not second.folder.exists()
    assert "ValueError: oh" in capsys.readouterr().err


def test_places_are_free_again_when_tasks_end_or_go():
    release = threading.Event()
    with Desk(lambda task: release.wait(), places=2) as desk:
        first, second = put(desk), desk.open()
        with pytest.raises(Full, match="2 clips are being worked on already"):
            desk.open()
        assert desk.forget(second.id) and not desk.forget(second.id)
        put(desk)
        release.set()
        until(lambda: first.ended)
        desk.open()


def test_files_of_a_task_in_work_go_once_that_lets_go():
    begun = threading.Event()

    def work(task):
        begun.set()
        task.gone.wait()
        assert task.folder.exists()
        with pytest.raises(Gone):
            task.enter("speaking")
        raise Gone

    with Desk(work) as desk:
        task = put(desk)
        begun.wait()
        assert desk.forget(task.id) and desk.find(task.id) is None
        until(lambda: task.ended)
        assert not task.folder.exists()


def test_results_go_after_a_while_and_when_there_are_many():
    with Desk(lambda task: None, places=2) as desk:
        tasks = []
        for _ in range(4):
            tasks.append(put(desk))
            until(lambda: tasks[-1].ended)
        desk.sweep()
        assert [desk.find(task.id) is not None for task in tasks] == [False, False, True, True]
    with Desk(lambda task: None, keep=0.05) as desk:
        task = put(desk)
        until(lambda: task.ended)
        time.sleep(0.06)
        desk.sweep()
        assert desk.find(task.id) is None and not task.folder.exists()
