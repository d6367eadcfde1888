"""Operators are found: each is in one file, and its name in the stub that editors and mypy read.

python tests/ops/test_found.py --regenerate
"""

import sys
from collections import defaultdict
from pathlib import Path

import pytest

from minicc import ops
from minicc.ops.base import REGISTRY

STUB = Path(ops.__file__).with_suffix(".pyi")


def stub():
    """The imports of all operators of the package, packed into lines of 120 columns."""
    names = defaultdict(list)
    for name, cls in sorted(REGISTRY.items()):
        if cls.__module__.startswith("minicc.ops."):
            names[cls.__module__].append(f"{name} as {name}")
    lines = []
    for module, found in sorted(names.items()):
        line = start = f"from {module} import "
        for name in found:
            if len(line) + len(name) > 120:
                lines.append(line.removesuffix(", "))
                line = start
            line += f"{name}, "
        lines.append(line.removesuffix(", "))
    return "\n".join(lines) + "\n"


def test_the_stub_is_up_to_date():
    assert STUB.read_text() == stub(), "run python tests/ops/test_found.py --regenerate"


def test_names_are_those_of_the_registry():
    from minicc.ops import Relu

    assert Relu is ops.Relu is REGISTRY["Relu"]
    assert {"Relu", "Conv", "base"} <= set(dir(ops))
    with pytest.raises(AttributeError, match="has no attribute 'Rely'"):
        ops.Rely  # noqa: B018


if __name__ == "__main__":
    assert sys.argv[1:] == ["--regenerate"], __doc__
    STUB.write_text(stub())
