"""Words said against words recognised: alignment and the counts behind word error rate."""

import dataclasses
from collections.abc import Sequence

Step = tuple[str | None, str | None]  # (word said, word recognised); None where one was left out or put in


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The cheapest way from the words said to the words recognised.

    Attributes:
        steps: pairs in order; equal words are hits, different ones substitutions, None marks a deletion or insertion.
        errors: substitutions, deletions and insertions.
        n_words: words said.
    """

    steps: tuple[Step, ...]
    errors: int
    n_words: int

    @property
    def rate(self) -> float:
        """Word error rate; may exceed 1. Without any word said: NaN."""
        return self.errors / self.n_words if self.n_words else float("nan")


def align(said: Sequence[str], recognized: Sequence[str]) -> Alignment:
    """Levenshtein alignment with unit costs; of equal paths, substitutions are preferred, then deletions."""
    costs = [[0] * (len(recognized) + 1) for _ in range(len(said) + 1)]
    for i in range(len(said) + 1):
        for j in range(len(recognized) + 1):
            if i == 0 or j == 0:
                costs[i][j] = i + j
                continue
            swap = costs[i - 1][j - 1] + (said[i - 1] != recognized[j - 1])
            costs[i][j] = min(swap, costs[i - 1][j] + 1, costs[i][j - 1] + 1)
    steps: list[Step] = []
    i, j = len(said), len(recognized)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + (said[i - 1] != recognized[j - 1]):
            i, j = i - 1, j - 1
            steps.append((said[i], recognized[j]))
        elif i and costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
            steps.append((said[i], None))
        else:
            j -= 1
            steps.append((None, recognized[j]))
    return Alignment(tuple(reversed(steps)), costs[-1][-1], len(said))
