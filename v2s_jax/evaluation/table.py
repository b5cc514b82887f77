"""The results as a table of text that is also Markdown."""

import math
from collections.abc import Sequence

from v2s_jax.evaluation.metrics import Metric
from v2s_jax.evaluation.scoring import ROWS, Evaluation
from v2s_jax.evaluation.statistics import Mean

ARROWS = {"higher": "↑", "lower": "↓"}


def number(value: float, digits: int) -> str:
    """A value with so many decimals, or a dash."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def cell(mean: Mean | None, digits: int, interval: bool = True) -> str:
    """A mean with its confidence interval, or a dash."""
    if mean is None or mean.n == 0:
        return "-"
    bounds = f" [{number(mean.low, digits)}, {number(mean.high, digits)}]" if interval and mean.n > 1 else ""
    return number(mean.mean, digits) + bounds


def heading(metric: Metric) -> str:
    """A metric's title, its unit and which way is good."""
    title = f"{metric.title} ({metric.unit})" if metric.unit else metric.title
    return f"{title} {ARROWS[metric.better]}"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a table of Markdown that is aligned as text too: the first row is the header."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in (lines[0], rule)]
    padded += [
        [line[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(line[1:], widths[1:], strict=True))]
        for line in lines[1:]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def text_table(evaluation: Evaluation) -> str:
    """One line a metric: generated with its 95 % interval, the real recording, the ceiling if there is one."""
    rows = [row for row in ROWS if row in evaluation.means]
    header = ["", *(f"{ROWS[row]} [95 %]" if row == "generated" else ROWS[row] for row in rows)]
    lines = [header]
    for metric in evaluation.metrics:
        means = [evaluation.means[row].get(metric.name) for row in rows]
        cells = [cell(mean, metric.digits, row == "generated") for row, mean in zip(rows, means, strict=True)]
        lines.append([heading(metric), *cells])
    return markdown(lines)
