"""What trains: a total list of rules over parameter paths.

A rule is `(regex, action)`; the regex must match the whole path, and every parameter and batch-norm statistic is
matched by exactly one rule. Actions:

* `"train"`, or `"train:critic"` when several players (each with its own loss and optimiser state) share the step;
* `"frozen"`: bit-identical after any number of steps, statistics included, with no gradient and no moments;
* a number: trained with the learning rate times this number.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from v2s_jax.errors import V2SError

MAIN = "main"  # the only player of an ordinary system
Rules = Sequence[Any]  # (regex, action) pairs; lists when read back from JSON


class Action(NamedTuple):
    """Who trains a parameter (None: nobody) and at which multiple of the learning rate."""

    player: str | None
    multiplier: float = 1.0


def parse_action(action: str | float) -> Action:
    """Reads one action.

    Raises:
        V2SError: it is none of the forms above.
    """
    if isinstance(action, str):
        name, _, player = action.partition(":")
        if action == "frozen":
            return Action(None)
        if name == "train":
            return Action(player or MAIN)
    elif not isinstance(action, bool) and action > 0:
        return Action(MAIN, float(action))
    raise V2SError(f'Training rule action {action!r} is not "train", "train:PLAYER", "frozen" or a positive number.')


def parse_rule(rule: Any) -> tuple[str, re.Pattern, Action]:
    """Reads one (regex, action).

    Raises:
        V2SError: it is no such pair.
    """
    try:
        pattern, action = rule
        return pattern, re.compile(pattern), parse_action(action)
    except (TypeError, ValueError, re.error) as error:
        raise V2SError(f"Training rule {rule!r} is not a pair of a regex and an action ({error}).") from error


def assign(rules: Rules, paths: Iterable[str]) -> dict[str, Action]:
    """The action of every path.

    Raises:
        V2SError: paths covered by no rule or by several, all listed at once.
    """
    parsed = [parse_rule(rule) for rule in rules]
    actions, offenders = {}, []
    for path in paths:
        matching = [(pattern, action) for pattern, regex, action in parsed if regex.fullmatch(path)]
        if len(matching) == 1:
            actions[path] = matching[0][1]
        elif matching:
            offenders.append(f"{path} (by {', '.join(pattern for pattern, _ in matching)})")
        else:
            offenders.append(f"{path} (by none)")
    if offenders:
        raise V2SError(
            f"Each parameter must be covered by exactly one training rule, but not so: {'; '.join(offenders)}."
        )
    return actions


def choose_rules(stages: Mapping[str, Rules], stage: str, override: Rules = (), frozen: str = "") -> Rules:
    """The rules of the config if it has any, else those of the named stage of the system.

    Args:
        stages: what `System.stages()` returned.
        stage: a name in it; may be empty when there is only one.
        override: `config.train.rules`.
        frozen: `config.train.frozen`, a regular expression over paths that stay as they are whatever the rules say.

    Raises:
        V2SError: no such stage, or `frozen` is no regular expression.
    """
    chosen = _chosen(stages, stage, override)
    if not frozen:
        return chosen
    try:
        re.compile(frozen)
    except re.error as error:
        raise V2SError(f"train.frozen, {frozen!r}, is no regular expression: {error}") from error
    others = ((rf"(?!(?:{frozen})\Z)(?:{parse_rule(rule)[0]})", rule[1]) for rule in chosen)
    return [(frozen, "frozen"), *others]


def _chosen(stages: Mapping[str, Rules], stage: str, override: Rules) -> Rules:
    if override:
        return override
    if not stage and len(stages) == 1:
        return next(iter(stages.values()))
    if stage not in stages:
        raise V2SError(
            f"config.train.stage is {stage!r}, but this system has the stages {', '.join(stages)}: name one."
        )
    return stages[stage]


def players(rules: Rules, actions: dict[str, Action]) -> list[str]:
    """Those who train something, in the order the rules name them, which is the order of their turns.

    Raises:
        V2SError: nobody does.
    """
    training = {action.player for action in actions.values()}
    named = dict.fromkeys(parse_rule(rule)[2].player for rule in rules)
    names = [name for name in named if name is not None and name in training]
    if not names:
        raise V2SError("The training rules freeze every parameter: there is nothing to train.")
    return names
