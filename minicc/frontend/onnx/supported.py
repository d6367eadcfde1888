"""Which nodes of an ONNX model there is no translation of, and why: all of them at once.

In: nodes, and the table of translations. Out: nothing, or a LoadError with each operator that is lacking, and on how many
nodes, with their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import onnx
from onnx import ModelProto, defs

from minicc.frontend.formats import named
from minicc.frontend.onnx.call import Translation
from minicc.frontend.onnx.functions import Item
from minicc.frontend.onnx.legacy import LEGACY, is_legacy
from minicc.frontend.onnx.schemas import declared
from minicc.frontend.onnx.tensors import ModelFile

OLDEST = 7
NEWEST: int = defs.onnx_opset_version()


def opset_of(model: ModelProto, file: ModelFile) -> int:
    """The opset of the ai.onnx operators of a model. Raises LoadError unless it, and those of functions, are known ones."""
    imports = {(entry.domain or "ai.onnx", entry.version) for entry in model.opset_import}
    versions = dict(sorted(imports))
    if len(versions) < len(imports):
        got = ", ".join(f"{domain} {version}" for domain, version in sorted(imports))
        hint = "merge models of one opset: onnx.version_converter.convert_version(model, 21) makes them so"
        raise file.error(f"expected one opset of each domain, got {got}", file.name, hint)
    inner = [e.version for f in model.functions for e in f.opset_import if e.domain in ("", "ai.onnx")]
    if not model.HasField("graph") or "ai.onnx" not in versions:
        what = "one" if model.HasField("graph") else "no graph"
        hint = "the file is damaged, or is no ONNX model; torch.onnx.export and tf2onnx write one"
        what, hint = named(b"", file.name) or (what, hint)
        problem = f"expected a model with a graph and an opset of ai.onnx, got {what} with opsets {versions}"
        raise file.error(problem, file.name, hint)
    opset, newest = int(versions["ai.onnx"]), int(onnx.IR_VERSION)
    for version in (opset, *inner):
        if not 1 <= version <= NEWEST or model.ir_version > newest:
            hint = "export the model with an older opset, or install a newer onnx package"
            problem = f"opset must be {OLDEST} to {NEWEST} and the IR version at most {newest}, "
            problem += f"got opset {version} and IR version {model.ir_version}"
            raise file.error(problem, file.name, hint)
    return opset


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
