"""TensorFlow Lite files made of what tests say, and their values by LiteRT.

>>> net = TfliteModel()
>>> x = net.tensor((1, 4), "float32", name="x")
>>> net.write([x], [net.op("RELU", [x], name="y")])[4:8]
b'TFL3'
"""

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "string": 5, "bool": 6, "int16": 7, "int8": 9,
}  # fmt: skip
VERSIONS = {"BROADCAST_TO": 2}  # of operators that had no first one in LiteRT


@dataclass
class Tensor:
    """What the file says of a tensor. `data` makes it a constant, `scale` quantises it, `fields` are others of its table."""

    shape: tuple
    dtype: str
    data: Any = None
    scale: Any = None
    zero: Any = 0
    axis: int = 0
    name: str = ""
    signature: tuple | None = None
    buffer: int | None = None  # another one than its own
    sparsity: Any = None  # (order, blocks, levels); a level is a size, or (segments, indices)
    fields: dict = field(default_factory=dict)


@dataclass
class Operator:
    kind: str | int  # a name or number of the schema; "custom:NAME"
    inputs: list
    outputs: list
    options: str = ""
    fields: dict = field(default_factory=dict)
    custom: bytes | None = None


class TfliteModel:
    """A file in the making: tensors and operators are added, `write` gives its bytes."""

    def __init__(self, **fields):
        self.tensors, self.operators, self.fields = [], [], fields

    def tensor(self, shape, dtype="float32", data=None, **rest):
        """A tensor; its number."""
        self.tensors.append(Tensor(tuple(shape), dtype, data, **{"name": f"t{len(self.tensors)}", **rest}))
        return len(self.tensors) - 1

    def constant(self, values, dtype="float32", **rest):
        array = np.asarray(values, dtype)
        return self.tensor(array.shape, dtype, array, **rest)

    def op(
        self, kind, inputs, options="", results=1, dtype=None, shape=(), custom=None, like=None, name=None, **fields
    ):
        """An operator; the number of its result, or of all. `like` is a tensor whose quantisation the result has."""
        first = self.tensors[inputs[0]] if inputs else Tensor((), "float32")
        source = self.tensors[like] if like is not None else Tensor((), "float32")
        quantised = {"scale": source.scale, "zero": source.zero} if like is not None else {}
        outputs = [self.tensor(shape, dtype or first.dtype, **quantised, **({"name": name} if name else {}))
                   for _ in range(results)]  # fmt: skip
        self.operators.append(Operator(kind, list(inputs), outputs, options, fields, custom))
        return outputs[0] if results == 1 else outputs

    def write(self, inputs, outputs, signature=None):
        """The bytes of the file. `signature` has names for inputs and for outputs."""
        self.b = b = flatbuffers.Builder(1024)
        buffers = [self._table("Buffer")]
        tensors = [self._tensor(t, buffers) for t in self.tensors]
        codes, operators = [], []
        for operator in self.operators:
            if operator.kind not in codes:
                codes.append(operator.kind)
            operators.append(self._operator(operator, codes.index(operator.kind)))
        graph = self._table(
            "SubGraph", Tensors=self._offsets(tensors), Inputs=self._numbers(inputs), Outputs=self._numbers(outputs),
            Operators=self._offsets(operators), Name=b.CreateString("main"),
        )  # fmt: skip
        extra = {}
        if signature:
            maps = [self._offsets([self._table("TensorMap", Name=b.CreateString(name), TensorIndex=index)
                                   for name, index in zip(names, indices, strict=True)])
                    for names, indices in zip(signature, (inputs, outputs), strict=True)]  # fmt: skip
            made = self._table(
                "SignatureDef", Inputs=maps[0], Outputs=maps[1], SignatureKey=b.CreateString("serving_default")
            )
            extra["SignatureDefs"] = self._offsets([made])
        fields = {"Version": 3, "OperatorCodes": self._offsets([self._code(kind) for kind in codes]),
                  "Subgraphs": self._offsets([graph]), "Buffers": self._offsets(buffers), **extra, **self.fields}  # fmt: skip
        b.Finish(self._table("Model", **fields), b"TFL3")
        return bytes(b.Output())

    def _table(self, kind, **fields):
        getattr(tflite, f"{kind}Start")(self.b)
        for name, value in fields.items():
            if value is not None:
                getattr(tflite, f"{kind}Add{name}")(self.b, value)
        return getattr(tflite, f"{kind}End")(self.b)

    def _numbers(self, values, dtype=np.int32):
        return self.b.CreateNumpyVector(np.asarray(values, dtype).reshape(-1))

    def _offsets(self, offsets):
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return self.b.EndVector()

    def _tensor(self, t, buffers):
        index = 0
        if t.data is not None:
            self.b.StartVector(1, len(raw := np.ascontiguousarray(t.data).tobytes()), 16)
            self.b.head -= len(raw)
            self.b.Bytes[self.b.head : self.b.head + len(raw)] = raw
            buffers.append(self._table("Buffer", Data=self.b.EndVector()))
            index = len(buffers) - 1
        q = None
        if t.scale is not None:
            q = self._table("QuantizationParameters", Scale=self._numbers(t.scale, np.float32),
                            ZeroPoint=self._numbers(t.zero, np.int64), QuantizedDimension=t.axis)  # fmt: skip
        fields = {
            "Shape": self._numbers(t.shape), "Type": TYPES[t.dtype], "Name": self.b.CreateString(t.name),
            "Buffer": index if t.buffer is None else t.buffer, "Quantization": q, "Sparsity": self._sparsity(t.sparsity),
            "ShapeSignature": None if t.signature is None else self._numbers(t.signature), **t.fields,
        }  # fmt: skip
        return self._table("Tensor", **fields)

    def _sparsity(self, sparsity):
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

    def _operator(self, operator, code):
        options, custom = None, None
        if operator.options:
            fields = {k: self._numbers(v) if isinstance(v, (tuple, list)) else v for k, v in operator.fields.items()}
            options = self._table(operator.options, **fields)
        if operator.custom is not None:
            custom = self._numbers(np.frombuffer(operator.custom, np.uint8), np.uint8)
        return self._table(
            "Operator", OpcodeIndex=code, Inputs=self._numbers(operator.inputs), Outputs=self._numbers(operator.outputs),
            BuiltinOptionsType=getattr(tflite.BuiltinOptions, operator.options) if operator.options else None,
            BuiltinOptions=options, CustomOptions=custom,
        )  # fmt: skip

    def _code(self, kind):
        if isinstance(kind, str) and kind.startswith("custom:"):
            return self._table("OperatorCode", DeprecatedBuiltinCode=32, BuiltinCode=32,
                               CustomCode=self.b.CreateString(kind[7:]))  # fmt: skip
        number = kind if isinstance(kind, int) else getattr(tflite.BuiltinOperator, kind)
        return self._table(
            "OperatorCode", DeprecatedBuiltinCode=min(number, 127), BuiltinCode=number, Version=VERSIONS.get(kind, 1)
        )


def litert(model, inputs, delegates=False):
    """The values of the outputs by LiteRT, by its own kernels or with its delegate of fast ones; inputs are in order."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kinds = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kinds)
    details = interpreter.get_input_details()
    for entry, value in zip(details, inputs, strict=True):
        if tuple(entry["shape"]) != value.shape:
            interpreter.resize_tensor_input(entry["index"], value.shape)
    interpreter.allocate_tensors()
    for entry, value in zip(details, inputs, strict=True):
        interpreter.set_tensor(entry["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(entry["index"]) for entry in interpreter.get_output_details()]
