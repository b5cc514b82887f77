"""What of a layer is kept for its backward pass, and what is computed again (Chen et al. 2016, arXiv 1604.06174).

`remat` in a model's config is the name of one of jax's policies, from the one that keeps all to the one that keeps
nothing between layers. Where a product costs more than to keep its result, but scores of attention are many,
`dots_with_no_batch_dims_saveable` keeps the products with weights and computes attention again.
"""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from v2s_jax.errors import V2SError

KEEP_ALL, KEEP_NOTHING = "everything_saveable", "nothing_saveable"
POLICIES = (KEEP_ALL, "dots_saveable", "dots_with_no_batch_dims_saveable", KEEP_NOTHING)
_SWITCHES = {"false": KEEP_ALL, "true": KEEP_NOTHING}


def policy_name(setting: bool | str) -> str:
    """Which of `POLICIES` a setting is; True and False, which it once was, are the last and the first.

    Raises:
        V2SError: none.
    """
    name = _SWITCHES.get(str(setting).lower(), setting)
    if name not in POLICIES:
        raise V2SError(f"remat is {setting!r}: expected one of {', '.join(POLICIES)}, or True or False")
    return str(name)


def remat(function: Callable, setting: bool | str, *, prevent_cse: bool = True, stateful: bool = False) -> Callable:
    """The function, whose backward pass computes again what the policy does not keep.

    Args:
        function: of arrays and modules.
        setting: see `policy_name`.
        prevent_cse: False inside a scan, where XLA cannot undo it.
        stateful: whether the function changes variables of its modules, such as running statistics.

    Raises:
        V2SError: there is no such policy.
    """
    name = policy_name(setting)
    if name == KEEP_ALL:
        return function
    policy = getattr(jax.checkpoint_policies, name)
    if stateful:
        return nnx.remat(function, prevent_cse=prevent_cse, policy=policy, graph=False)
    return jax.checkpoint(function, prevent_cse=prevent_cse, policy=policy)


def current(section: Any, default: Any) -> Any:
    """A model's section as this version writes it: those of earlier ones lack `remat`, or have it as True or False.

    Args:
        section: in JSON's kinds, or anything else, which stays as it is.
        default: the section's default.
    """
    if not (isinstance(section, dict) and isinstance(default, dict)):
        return section
    found = {name: current(value, default.get(name)) for name, value in section.items()}
    if "remat" in default and isinstance(given := found.get("remat", False), bool):
        found["remat"] = policy_name(given)
    return found
