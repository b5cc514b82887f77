"""What a compiled program's text says: collectives, and the cycles that XLA:TPU expects of its parts.

A loop's body stands in the text once and `cost_analysis` counts it once; here everything is taken as often as it runs.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_SHAPE = re.compile(r"\b(pred|bf16|f8\w+|[suf]\d+|c64|c128)\[([\d,]*)\]")
_COLLECTIVE = re.compile(rf" = (.*?) ({'|'.join(KINDS)}|ragged-all-to-all)(-start)?\(")
_CALLED = re.compile(r"\b(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_WHILE = re.compile(r" while\(.*condition=%?([\w.\-]+), body=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count"?:\{"?n"?:"?(\d+)')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_CONSTANT = re.compile(r" = s(?:32|64)\[\]\S* constant\((\d+)\)")


class Collective(NamedTuple):
    """Communication of one kind at one place of the program.

    Attributes:
        kind: of KINDS.
        bytes: of its result on each chip (of its operand for reduce-scatter), each time.
        group: chips that take part in one.
        times: how often a step does it.
    """

    kind: str
    bytes: int
    group: int
    times: int


class Program(NamedTuple):
    """What the text says of one step.

    Attributes:
        collectives: those among more than one chip.
        cycles: that the compiler expects of all but communication; 0 where it does not say.
    """

    collectives: list[Collective]
    cycles: int


def read_program(text: str) -> Program:
    """Reads `compiled.as_text()`."""
    entry, bodies = _computations(text)
    found: dict[str, Collective] = {}
    cycles = _walk(entry, bodies, 1, found)
    return Program([collective for collective in found.values() if collective.group > 1], cycles)


def by_kind(collectives: list[Collective]) -> dict[str, tuple[int, int]]:
    """How often a step does each kind, and their bytes."""
    totals: dict[str, tuple[int, int]] = {}
    for kind, size, _, times in collectives:
        number, total = totals.get(kind, (0, 0))
        totals[kind] = number + times, total + times * size
    return dict(sorted(totals.items()))


def sent(collective: Collective) -> float:
    """Bytes that each chip sends in a step by ring algorithms (as of Thakur et al. 2005)."""
    share = (collective.group - 1) / collective.group
    passes = {"all-reduce": 2 * share, "collective-permute": 1.0}.get(collective.kind, share)
    return passes * collective.bytes * collective.times


def _computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """The name of the entry, and the instructions of every computation."""
    entry, bodies = "", dict[str, list[str]]()
    lines: list[str] = []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            lines = bodies[header[2]] = []
            entry = header[2] if header[1] else entry
        elif line.startswith("  "):
            lines.append(line)
    return entry, bodies


def _walk(name: str, bodies: dict[str, list[str]], times: int, found: dict[str, Collective]) -> int:
    """Adds what a computation that runs so often communicates, and returns its cycles."""
    total = 0
    for number, line in enumerate(bodies.get(name, ())):
        if collective := _collective(line, name, times):
            # What overlaps with computation is split into pieces of one channel: it is one piece of communication.
            channel = re.search(r"channel_id=(\d+)", line)
            key = channel[1] if channel else f"{name}/{number}"
            if key not in found or found[key].times < times:
                found[key] = collective
        own = _CYCLES.search(line)
        below = sum(_walk(called, bodies, times * trips, found) for called, trips in _calls(line, bodies))
        total += times * int(own[1]) if own else below
    return total


def _calls(line: str, bodies: dict[str, list[str]]) -> Iterator[tuple[str, int]]:
    """The computations that an instruction runs, and how often."""
    if loop := _WHILE.search(line):
        known = _TRIPS.search(line)
        yield loop[2], int(known[1]) if known else _trips(bodies.get(loop[1], []))
    elif branches := _BRANCHES.search(line):
        yield from ((name.strip().lstrip("%"), 1) for name in branches[1].split(","))
    else:
        yield from ((name, 1) for name in _CALLED.findall(line))


def _trips(condition: list[str]) -> int:
    """How often a loop runs that counts up to a number in its condition, as `lax.scan` does; 1 where there is none."""
    return max([1, *(int(found[1]) for line in condition if (found := _CONSTANT.search(line)))])


def _collective(line: str, computation: str, times: int) -> Collective | None:
    match = _COLLECTIVE.search(line)
    if match is None:
        return None
    result, kind, started = match.groups()
    sizes = [_bytes(*shape) for shape in _SHAPE.findall(result)]
    size = max(sizes, default=0) if started else sum(sizes)  # a start's result has its operand beside it
    if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"
    elif kind == "reduce-scatter":
        size *= _group(line)
    return Collective("all-to-all" if kind == "ragged-all-to-all" else kind, size, _group(line), times)


def _bytes(dtype: str, dims: str) -> int:
    bits = _BITS.get(dtype) or int(re.findall(r"\d+", dtype)[0])
    return math.prod(int(size) for size in dims.split(",") if size) * bits // 8


def _group(line: str) -> int:
    """How many chips take part; the text has lists, `[groups,size]<=[...]`, or axes of a mesh."""
    if "collective-permute" in line:
        return 2
    if axes := re.search(r"replica_groups=@?mesh\w*\[([^\]]*)\](?:, device_ids=\([^)]*\))? ?\{([^}]*)\}", line):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", axes[1]))
        parts = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", axes[2])
        return math.prod(int(part or sizes.get(axis, 1)) for axis, part in parts)
    if iota := re.search(r"replica_groups=\[\d+,(\d+)\]<=", line):
        return int(iota[1])
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", line)
    return listed[1].count(",") + 1 if listed else 1
