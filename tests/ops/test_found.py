"""Operators are found: each is in one file, and its name in the stub that editors and mypy read.

python tests/ops/test_found.py --regenerate
"""

import importlib.util
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import minicc
from minicc import ops
from minicc.bridge.environment import has_relay
from minicc.bridge.relax import run_relax
from minicc.ops.base import INTERPRETED, REGISTRY
from minicc.testing import oracle
from minicc.testing.draws import drawn, graph_of

STUB = Path(ops.__file__).with_suffix(".pyi")


def stub():
    """The imports of all operators of the package, packed into lines of 120 columns."""
    names = defaultdict(list)
    for name, cls in sorted((REGISTRY | INTERPRETED).items()):
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


CUBE = '''
from minicc.ops.base import operator
from minicc.ops.elementwise import Elementwise


@operator
class ScaledCube(Elementwise):
    """scale * x**3."""

    onnx_names = ("com.example::Cube",)
    accepts = ("float",)
    widens = True
    drawn = {"scale": (0.5, 2.0)}

    scale: float = 1.0

    def scalar(self, x):
        return x * x * x * self.scale
'''


@pytest.fixture
def cube(tmp_path):
    """An operator of somebody else: one file, outside of the package."""
    path = tmp_path / "cube.py"
    path.write_text(CUBE)
    spec = importlib.util.spec_from_file_location("cube", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield REGISTRY["ScaledCube"]
    del REGISTRY["ScaledCube"]


def test_an_operator_is_one_file(cube, monkeypatch):
    """It is registered, drawn, compiled and compared, in every room, and an ONNX model reaches it by its name."""
    assert ops.ScaledCube is cube
    monkeypatch.setitem(oracle.STAGES, "relax", run_relax)  # the process that runs TVM for others does not know it
    stages = (
        "numpy",
        "loop",
        "llvm",
        *(["relax"] if importlib.util.find_spec("tvm") else []),
        *["relay"] * has_relay(),
    )
    for case in range(10):
        example = graph_of(*drawn("ScaledCube", case, extremes=False))
        oracle.agree(example.graph, example.inputs, stages=stages)
    node = helper.make_node("Cube", ["x"], ["y"], domain="com.example", scale=0.5)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy")
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(helper.make_graph([node], "cubes", [x], [y]), opset_imports=opsets, ir_version=10)
    (y,) = minicc.compile(minicc.load(model))(np.float32([1, 2, -3]))
    np.testing.assert_array_equal(y, np.float32([0.5, 4, -13.5]))


if __name__ == "__main__":
    assert sys.argv[1:] == ["--regenerate"], __doc__
    STUB.write_text(stub())
