"""References inside one JSON Schema."""

from __future__ import annotations

from typing import cast

from weft.errors import GrammarRejected

__all__ = ["resolve"]


def resolve(root: object, reference: object) -> object:
    """The schema that ``reference`` names inside ``root``.

    Raises: GrammarRejected unless it is ``#`` or ``#/…`` along plain keys that exist.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise GrammarRejected(
            f"The JSON Schema refers to {reference!r}.",
            remedy="References must be local: '#' or '#/$defs/…'.",
        )
    node = root
    for key in reference.split("/")[1:]:
        if "~" in key or "%" in key or not isinstance(node, dict) or key not in node:
            raise GrammarRejected(
                f"The JSON Schema refers to {reference!r}, which leads nowhere at {key!r}.",
                remedy="Refer to a name under $defs without '~' and '%'.",
            )
        node = cast(dict[str, object], node)[key]
    return node
