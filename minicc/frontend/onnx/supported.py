"""Which nodes of an ONNX model there is no translation of, and why: all of them at once.

In: nodes, and the table of translations. Out: nothing, or a LoadError with each operator that is lacking, and on how many
nodes, with their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from onnx import defs

from minicc.frontend.onnx.call import Translation
from minicc.frontend.onnx.functions import Item
from minicc.frontend.onnx.legacy import LEGACY, is_legacy
from minicc.frontend.onnx.schemas import declared
from minicc.frontend.onnx.tensors import ModelFile

OLDEST = 7


def check_supported(items: Iterable[Item], table: Mapping[str, Translation], file: ModelFile) -> None:
    """Raise LoadError, with every operator that is not supported, its number of nodes and their names, if there are any."""
    lacking: dict[str, list[str]] = {}
    for item in items:
        if (reason := _lacking(item, table)) is not None:
            lacking.setdefault(reason, []).append(item.node.name or f"node {item.index}")
    if lacking:
        counts = Counter({reason: len(nodes) for reason, nodes in lacking.items()})
        lines = [
            f"{reason}: {count} x ({', '.join(lacking[reason][:3])}{', ...' if count > 3 else ''})"
            for reason, count in counts.most_common()
        ]
        problem = f"operators that are not supported: {len(lacking)}, on {counts.total()} nodes"
        hint = f"{len(table)} operators are supported; export the model without these"
        raise file.error(problem, "\n".join(lines), hint)


def _lacking(item: Item, table: Mapping[str, Translation]) -> str | None:
    """Why there is no translation of this node; None when there is one."""
    kind = item.kind
    if kind not in table:
        return kind
    try:
        schema = declared(item.node.domain, item.node.op_type, item.version)
    except defs.SchemaError:
        return f"{kind} (not in opset {item.version})"
    if schema is None or not defs.has(kind):
        return None
    if schema.deprecated and kind != "GroupNormalization":  # the form of opset 18 is deprecated, and in use
        return f"{kind} (gone from opset {item.version})"
    if is_legacy(item) and kind not in LEGACY:
        return f"{kind} (of opset {item.version}; it changed before opset {OLDEST})"
    return None
