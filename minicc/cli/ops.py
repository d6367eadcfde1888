"""`minicc ops`: which operators there are."""

from __future__ import annotations

from minicc.cli.options import table_text
from minicc.ops.base import REGISTRY


def ops_command() -> None:
    """List every operator with its attributes and its fusion kind.

    Example:

        minicc ops
    """
    rows = []
    for name, made in sorted(REGISTRY.items()):
        rows.append([name, made.kind.name.lower(), ", ".join(made.__match_args__), (made.__doc__ or "").split("\n")[0]])  # type: ignore[attr-defined]
    print(table_text(rows, ["operator", "kind", "attributes", "meaning"]))
