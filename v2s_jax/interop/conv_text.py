"""Lists of convolutions as fairseq's configs have them: a line of Python."""

import ast
from typing import Any

from v2s_jax.errors import V2SError

_TOO_MANY = 64  # convolutions


def conv_text(convs: Any) -> str:
    """Triples of channels, taps and stride as `parse_convs` reads them."""
    return str([tuple(shape) for shape in convs])


def parse_convs(text: str, where: Any) -> tuple[tuple[int, int, int], ...]:
    """Channels, taps and stride of convolutions, from such as `[(512,10,5)] + [(512,3,2)] * 4`; nothing is run.

    Args:
        text: lists of triples, added to one another and multiplied by numbers.
        where: the file, to be named in an error.

    Raises:
        V2SError: it is not that, or of more convolutions than can be.
    """
    try:
        if len(text) > 4096:
            raise ValueError
        convs = _convs(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise V2SError(f"{where}: its config says conv_feature_layers = {text[:80]!r}, expected triples") from error
    return tuple(convs)


def _convs(node: ast.AST) -> list[tuple[int, int, int]]:
    if isinstance(node, ast.List):
        convs = [tuple(ast.literal_eval(entry)) for entry in node.elts]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        convs = [*_convs(node.left), *_convs(node.right)]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        times = ast.literal_eval(node.right)
        if not 0 <= times <= _TOO_MANY:
            raise ValueError
        convs = _convs(node.left) * times
    else:
        raise ValueError
    if len(convs) > _TOO_MANY or any(len(conv) != 3 or any(type(n) is not int for n in conv) for conv in convs):
        raise ValueError
    return convs  # type: ignore[return-value]
