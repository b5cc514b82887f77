import threading
import time

import pytest

from v2s_jax.synthesis.overlap import Overlap, Stage


def each(function):
    return lambda things: map(function, things)


def test_everything_goes_through_all_stages_once():
    found = []
    stages = [
        Stage("a", each(lambda x: x + 1), threads=3),
        Stage("b", each(lambda x: 2 * x)),
        Stage("c", each(found.append)),
    ]
    with Overlap(stages) as overlap:
        for number in range(200):
            overlap.put(number)
    assert sorted(found) == [2 * (number + 1) for number in range(200)]


def test_a_slow_stage_bounds_what_is_under_way_and_the_others_wait():
    begun, most, done = [], [0], []

    def slow(thing):
        time.sleep(0.02)
        done.append(thing)

    def quick(thing):
        begun.append(thing)
        most[0] = max(most[0], len(begun) - len(done))
        return thing

    with Overlap([Stage("quick", each(quick), room=2), Stage("slow", each(slow), room=2)]) as overlap:
        for number in range(20):
            overlap.put(number)
    assert len(done) == 20 and most[0] <= 5
    assert overlap.waits["quick"] > 0.5 > overlap.waits["slow"]


def test_what_waits_in_a_stage_comes_out_at_the_end():
    found = []
    with Overlap([Stage("hoard", lambda things: iter(list(things))), Stage("list", each(found.append))]) as overlap:
        for number in range(5):
            overlap.put(number)
    assert found == [0, 1, 2, 3, 4]


def test_an_error_in_a_stage_reaches_the_caller_and_stops_the_rest():
    def burst(thing):
        raise OSError("full")

    before = threading.active_count()
    with pytest.raises(OSError, match="full"):
        with Overlap([Stage("a", each(abs)), Stage("b", each(burst))]) as overlap:
            for number in range(1000):
                overlap.put(number)
    assert threading.active_count() == before


def test_an_interrupt_lets_the_stages_finish_what_they_have_in_hand():
    done, begun = [], threading.Event()

    def slow(thing):
        begun.set()
        time.sleep(0.2)
        done.append(thing)

    with pytest.raises(KeyboardInterrupt):
        with Overlap([Stage("slow", each(slow))]) as overlap:
            for number in range(3):
                overlap.put(number)
            begun.wait()
            raise KeyboardInterrupt
    assert done == [0]
