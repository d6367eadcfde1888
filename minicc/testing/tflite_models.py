"""TensorFlow Lite files, made of what tests and campaigns say of tensors and operators, wrong things included.

In: tensors and operators. Out: the bytes of a file.

>>> net = TfliteModel()
>>> x = net.tensor((1, 4), "float32", name="x")
>>> net.write([x], [net.op("RELU", [x])])[4:8]
b'TFL3'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "string": 5, "bool": 6, "int16": 7, "int8": 9,
}  # fmt: skip
VERSIONS = {"BROADCAST_TO": 2}  # of operators that had no first one in LiteRT
CUSTOM = "custom:"  # before the name of an operator that is not of the schema
ALIGNMENT = 16  # of weights in a file


@dataclass
class TensorRow:
    """What a file says of a tensor. `data` makes it a constant, `scale` quantises it, `fields` are others of its table."""

    shape: tuple[int, ...]
    dtype: str
    data: Any = None
    scale: Any = None
    zero: Any = 0
    axis: int = 0
    name: str = ""
    signature: tuple[int, ...] | None = None
    buffer: int | None = None  # another one than its own
    sparsity: Any = None  # (order, blocks, levels); a level is a size, or (segments, indices)
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class OperatorRow:
    """What a file says of an operator: a name or a number of the schema, or `custom:NAME`; the numbers of tensors."""

    kind: str | int
    inputs: list[int]
    outputs: list[int]
    options: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    custom: bytes | None = None


class TfliteModel:
    """A file in the making: tensors and operators are added, `write` gives its bytes; `fields` are those of its root."""

    def __init__(self, **fields: Any) -> None:
        self.tensors: list[TensorRow] = []
        self.operators: list[OperatorRow] = []
        self.fields = fields
        self.b: Any = None

    def tensor(self, shape: Sequence[int], dtype: str = "float32", data: Any = None, **rest: Any) -> int:
        """A tensor; its number."""
        self.tensors.append(TensorRow(tuple(shape), dtype, data, **{"name": f"t{len(self.tensors)}", **rest}))
        return len(self.tensors) - 1

    def constant(self, values: Any, dtype: str = "float32", **rest: Any) -> int:
        """A constant; its number."""
        array = np.asarray(values, dtype)
        return self.tensor(array.shape, dtype, array, **rest)

    def op(self, kind: str | int, inputs: Sequence[int], options: str = "", results: int = 1, like: int | None = None,
           custom: bytes | None = None, result: dict[str, Any] | None = None, **fields: Any) -> Any:  # fmt: skip
        """An operator; the number of its result, or of all.

        `result` is what the file says of that tensor; `like` is a tensor whose quantisation it has.
        """
        first = self.tensors[inputs[0]] if inputs else TensorRow((), "float32")
        row: dict[str, Any] = {"shape": (), "dtype": first.dtype, **(result or {})}
        if like is not None:
            row |= {"scale": self.tensors[like].scale, "zero": self.tensors[like].zero}
        outputs = [self.tensor(**row) for _ in range(results)]
        self.operators.append(OperatorRow(kind, list(inputs), outputs, options, fields, custom))
        return outputs[0] if results == 1 else outputs

    def write(self, inputs: Sequence[int], outputs: Sequence[int], signature: Any = None) -> bytes:
        """The bytes of the file. `signature` has names for inputs and for outputs."""
        self.b = flatbuffers.Builder(1024)
        buffers = [self._table("Buffer")]
        tensors = [self._tensor(t, buffers) for t in self.tensors]
        codes = list(dict.fromkeys(operator.kind for operator in self.operators))
        operators = [self._operator(operator, codes.index(operator.kind)) for operator in self.operators]
        graph = self._table(
            "SubGraph", Tensors=self._offsets(tensors), Inputs=self._numbers(inputs), Outputs=self._numbers(outputs),
            Operators=self._offsets(operators), Name=self._text("main"),
        )  # fmt: skip
        held = None
        if signature:
            maps = []
            for names, indices in zip(signature, (inputs, outputs), strict=True):
                pairs = zip(names, indices, strict=True)
                maps.append(
                    self._offsets([self._table("TensorMap", Name=self._text(n), TensorIndex=k) for n, k in pairs])
                )
            key = self._text("serving_default")
            held = self._offsets([self._table("SignatureDef", Inputs=maps[0], Outputs=maps[1], SignatureKey=key)])
        fields = {"Version": 3, "OperatorCodes": self._offsets([self._code(kind) for kind in codes]), "SignatureDefs": held,
                  "Subgraphs": self._offsets([graph]), "Buffers": self._offsets(buffers), **self.fields}  # fmt: skip
        self.b.Finish(self._table("Model", **fields), b"TFL3")
        return bytes(self.b.Output())

    def _table(self, kind: str, **fields: Any) -> int:
        getattr(tflite, f"{kind}Start")(self.b)
        for name, value in fields.items():
            if value is not None:
                getattr(tflite, f"{kind}Add{name}")(self.b, value)
        return int(getattr(tflite, f"{kind}End")(self.b))

    def _text(self, text: str) -> int:
        return int(self.b.CreateString(text))

    def _numbers(self, values: Any, dtype: Any = np.int32) -> int:
        return int(self.b.CreateNumpyVector(np.asarray(values, dtype).reshape(-1)))

    def _offsets(self, offsets: Sequence[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())

    def _tensor(self, t: TensorRow, buffers: list[int]) -> int:
        index = 0
        if t.data is not None:
            content = np.ascontiguousarray(t.data).tobytes()
            self.b.StartVector(1, len(content), ALIGNMENT)
            self.b.head -= len(content)
            self.b.Bytes[self.b.head : self.b.head + len(content)] = content
            buffers.append(self._table("Buffer", Data=self.b.EndVector()))
            index = len(buffers) - 1
        q = None
        if t.scale is not None:
            scale, zero = self._numbers(t.scale, np.float32), self._numbers(t.zero, np.int64)
            q = self._table("QuantizationParameters", Scale=scale, ZeroPoint=zero, QuantizedDimension=t.axis)
        fields = {
            "Shape": self._numbers(t.shape), "Type": TYPES[t.dtype], "Name": self._text(t.name),
            "Buffer": index if t.buffer is None else t.buffer, "Quantization": q, "Sparsity": self._sparsity(t.sparsity),
            "ShapeSignature": None if t.signature is None else self._numbers(t.signature), **t.fields,
        }  # fmt: skip
        return self._table("Tensor", **fields)

    def _sparsity(self, sparsity: Any) -> int | None:
        if sparsity is None:
            return None
        order, blocks, levels = sparsity
        made = []
        for level in levels:
            if isinstance(level, int):
                made.append(self._table("DimensionMetadata", Format=0, DenseSize=level))
                continue
            lists = [self._table("Int32Vector", Values=self._numbers(values)) for values in level]
            made.append(self._table("DimensionMetadata", Format=1, ArraySegmentsType=1, ArraySegments=lists[0],
                                    ArrayIndicesType=1, ArrayIndices=lists[1]))  # fmt: skip
        return self._table("SparsityParameters", TraversalOrder=self._numbers(order), BlockMap=self._numbers(blocks),
                           DimMetadata=self._offsets(made))  # fmt: skip

    def _operator(self, operator: OperatorRow, code: int) -> int:
        options, kind, custom = None, None, None
        if operator.options:
            fields = {k: self._numbers(v) if isinstance(v, (tuple, list)) else v for k, v in operator.fields.items()}
            options, kind = self._table(operator.options, **fields), getattr(tflite.BuiltinOptions, operator.options)
        if operator.custom is not None:
            custom = self._numbers(np.frombuffer(operator.custom, np.uint8), np.uint8)
        ends = self._numbers(operator.inputs), self._numbers(operator.outputs)
        return self._table("Operator", OpcodeIndex=code, Inputs=ends[0], Outputs=ends[1], BuiltinOptionsType=kind,
                           BuiltinOptions=options, CustomOptions=custom)  # fmt: skip

    def _code(self, kind: str | int) -> int:
        if isinstance(kind, str) and kind.startswith(CUSTOM):
            name = self._text(kind.removeprefix(CUSTOM))
            return self._table("OperatorCode", DeprecatedBuiltinCode=32, BuiltinCode=32, CustomCode=name)
        number = kind if isinstance(kind, int) else getattr(tflite.BuiltinOperator, kind)
        version = VERSIONS.get(str(kind), 1)
        return self._table("OperatorCode", DeprecatedBuiltinCode=min(number, 127), BuiltinCode=number, Version=version)
