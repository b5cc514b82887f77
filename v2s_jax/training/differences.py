"""What differs between two configs, or two of anything else that JSON can hold."""

from typing import Any


def differences(old: Any, new: Any, path: str = "config") -> list[str]:
    """Readable differences between two JSON-like values: `path: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        pairs = [(old.get(name, "absent"), new.get(name, "absent"), f"{path}.{name}") for name in names]
        return [line for a, b, where in pairs for line in differences(a, b, where)]
    return [] if old == new else [f"{path}: {old} -> {new}"]
