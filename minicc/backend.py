"""The ONNX Backend API form of load, compile and run, so that ONNX's own tools can drive minicc.

In: a `ModelProto` (or one `NodeProto`) and arrays. Out: the arrays of its outputs, in order.

    import minicc.backend as backend
    rep = backend.prepare(model)
    y, = rep.run([x])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, defs, helper, numpy_helper
from onnx import load as load_proto
from onnx.backend.base import Backend, BackendRep, namedtupledict
from onnx.reference import ReferenceEvaluator

from minicc.compile import compile as compile_model
from minicc.errors import MiniccError, RunError, TargetError
from minicc.frontend.onnx import load, read_model
from minicc.ir.arrays import plain

__all__ = ["MiniccBackend", "Rep", "expose", "is_compatible", "node_tests", "prepare", "read_model", "run_model", "run_node",
           "run_reference", "suite_tests", "supports_device"]  # fmt: skip


class Rep(BackendRep):
    """A compiled model, ready to run many times."""

    def __init__(self, executable: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.executable, self.inputs = executable, tuple(inputs)
        self._result = namedtupledict("Outputs", list(outputs))

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """The outputs, as a tuple that also answers to their names. `inputs` go by position or by name."""
        named = inputs if isinstance(inputs, Mapping) else self._named(inputs)
        results: Mapping[str, Any] = self.executable.run({name: _unpacked(value) for name, value in named.items()})
        made: tuple[Any, ...] = self._result(*results.values())
        return made

    def _named(self, inputs: Any) -> dict[str, Any]:
        given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        if len(given) != len(self.inputs):
            raise RunError(
                "Rep.run",
                f"expected {len(self.inputs)} inputs ({', '.join(self.inputs)}), got {len(given)}",
                hint="the inputs of the model that have no initializer, in order",
            )
        return dict(zip(self.inputs, given, strict=True))


class MiniccBackend(Backend):
    """minicc as an `onnx.backend.base.Backend`."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **_: Any) -> bool:
        """Whether the model loads."""
        try:
            load(model)
        except MiniccError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **options: Any) -> Rep:
        """Compile `model`; `options` are those of `compile`."""
        if not cls.supports_device(device):
            raise TargetError(f"prepare(device={device!r})", "expected the device CPU", hint='device="CPU"')
        graph = load(model)
        return Rep(compile_model(graph, **options), graph.input_names, graph.output_names)

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **options: Any) -> tuple[Any, ...]:
        """Compile and run once."""
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **options: Any
    ) -> tuple[Any, ...]:
        """Compile and run a graph of one node, of opset `opset_version` or the newest."""
        version = options.pop("opset_version", defs.onnx_opset_version())
        arrays = [array(value) for value in inputs]
        return cls.run_model(single_node(node, arrays, version), arrays, device, **options)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` ("CPU", "CPU:0") is one that minicc compiles for here."""
        return device.split(":")[0] == "CPU"


def single_node(node: NodeProto, arrays: Sequence[Any], version: int) -> ModelProto:
    """A model of this node alone; absent inputs have no array."""
    names = [name for name in node.input if name]
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, arrays, strict=True)
    ]
    outputs = [ValueInfoProto(name=name) for name in node.output if name]
    graph = GraphProto(name="node", node=[node], input=infos, output=outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, version)])


def array(value: Any) -> np.ndarray[Any, Any]:
    """An array of a test or a caller: an array, a scalar or a `TensorProto`. Raises RunError on what is none."""
    return plain(_unpacked(value), lambda problem, hint: RunError("backend.array(x)", problem, hint=hint))


def _unpacked(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


@cache
def node_tests() -> dict[str, Any]:
    """The node tests of the installed onnx package, by name. Takes seconds: onnx generates them anew."""
    from onnx.backend.test import loader  # heavy: imports every test

    with np.errstate(all="ignore"):
        return {
            case.name: replace(case, data_sets=_arrays(case.data_sets)) for case in loader.load_model_tests(kind="node")
        }


SUITES = ("node", "pytorch-operator", "pytorch-converted", "simple", "light")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@cache
def suite_tests(suite: str) -> dict[str, Any]:
    """The tests of one of SUITES of the installed onnx package, by name, with their models and arrays.

    `light` are whole networks whose weights their files compute; their input counts up from 0 to 1.
    """
    from onnx.backend.test import loader

    if suite == "node":
        return node_tests()
    found = loader.load_model_tests(kind="real" if suite == "light" else suite)
    return {case.name: _read_light(case) if suite == "light" else _read_test(case) for case in found}


def _read_test(case: Any) -> Any:
    """A test whose model and arrays are files in a folder."""
    folder = Path(case.model_dir)
    sets = sorted(folder.glob("test_data_set_*"))
    data = [tuple([_tensor(path) for path in _numbered(part, kind)] for kind in ("input", "output")) for part in sets]
    return replace(case, model=load_proto(folder / "model.onnx"), data_sets=data)


def _numbered(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}_*.pb"), key=lambda path: int(path.stem.split("_")[-1]))


def _tensor(path: Path) -> Any:
    """The array in a file; None where it holds no tensor."""
    try:
        return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))
    except (DecodeError, TypeError, ValueError):
        return None


def _read_light(case: Any) -> Any:
    path = LIGHT / Path(case.url).name
    model = load_proto(path)
    known = {tensor.name for tensor in model.graph.initializer}
    shapes = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input if i.name not in known]
    inputs = [(np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32) for shape in shapes]
    outputs = [_tensor(path) for path in _numbered(LIGHT, f"{path.stem}_output")]
    return replace(case, model=model, data_sets=[(inputs, outputs)])


def _arrays(data_sets: Any) -> list[Any]:
    """Data sets of (inputs, outputs) with arrays in place of scalars and protos; sequences stay what they are."""
    return [
        tuple([value if isinstance(value, list) else np.asarray(_unpacked(value)) for value in part] for part in pair)
        for pair in data_sets
    ]


# ---- what peers need of a model -----------------------------------------------------------------


def expose(model: ModelProto) -> ModelProto:
    """The model with the results of all its nodes as outputs, after those that it has."""
    made = ModelProto()
    made.CopyFrom(model)
    results = dict.fromkeys(name for node in model.graph.node for name in node.output if name)
    known = {output.name for output in model.graph.output}
    made.graph.output.extend(ValueInfoProto(name=name) for name in results if name not in known)
    return made


def run_reference(model: ModelProto, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs by name, as ONNX's own reference evaluator gives them."""
    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(model).run(None, dict(inputs))
    return dict(zip([output.name for output in model.graph.output], results, strict=True))


is_compatible = MiniccBackend.is_compatible
prepare = MiniccBackend.prepare
run_model = MiniccBackend.run_model
run_node = MiniccBackend.run_node
supports_device = MiniccBackend.supports_device
