"""Damaged ONNX models, for `mutate_files`: small sound ones, some of whose fields are changed with an eye for what they mean.

In: a source of random numbers. Out: the files of a model. Sound ones are ONNX's own tests of nodes, and a few networks in
which things hang together: weights, subgraphs, functions, data in another file. A change drops, repeats, moves or swaps
fields, puts numbers at the edges of their types, uses a name twice, cuts data off, or grafts a part of one model into another.

>>> import random
>>> list(draw(random.Random(0)))[0]
'model.onnx'
"""

from __future__ import annotations

import functools
import random as random_module
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, helper, numpy_helper

from minicc.backend import node_tests

Random = random_module.Random
F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
OPSET = 17
EDGES = (0, 1, -1, 2, 3, 7, 127, 128, 255, 2**15, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "x", "\0", " ", "../../../etc/passwd", "/etc/passwd", "ai.onnx.ml", "com.microsoft", "é" * 9, "n" * 70_000)
DEEPEST = 40  # graphs in graphs


class Site(NamedTuple):
    """A field of a message that is set, or an element of a repeated one."""

    message: Message
    field: Any
    at: int | None = None

    @property
    def value(self) -> Any:
        """What stands there."""
        value = getattr(self.message, self.field.name)
        return value if self.at is None else value[self.at]


def draw(random: Random) -> dict[str, bytes]:
    """The files of a damaged model."""
    model, other = ModelProto(), random.choice(sound())
    model.CopyFrom(random.choice(sound()))
    for _ in range(1 + int(random.expovariate(1.2))):
        places = list(sites(model))
        if places:
            random.choice(CHANGES)(random.choice(places), places, other, random)
    content = model.SerializeToString()
    if random.random() < 0.1:
        content = damaged(content, random)
    return {"model.onnx": content, "weights.bin": bytes(range(64))}


def sites(message: Message, depth: int = 0) -> Iterator[Site]:
    """Every field that is set, of a message and of those in it."""
    for field, value in message.ListFields():
        repeated = not isinstance(value, (int, float, str, bytes, Message))
        yield Site(message, field)
        for index, element in enumerate(value if repeated else [value]):
            if repeated and index < 50:
                yield Site(message, field, index)
            if isinstance(element, Message) and depth < DEEPEST:
                yield from sites(element, depth + 1)


def damaged(content: bytes, random: Random) -> bytes:
    """Bytes cut off, or some of them others."""
    made = bytearray(content)
    for _ in range(random.randint(0, 3)):
        made[random.randrange(len(made))] = random.randrange(256)
    return bytes(made[: random.randint(0, len(made))] if random.random() < 0.3 else made)


# ---- changes ------------------------------------------------------------------------------------


def drop(site: Site, *_: Any) -> None:
    """The field goes, or the element."""
    if site.at is None:
        site.message.ClearField(site.field.name)
    else:
        del getattr(site.message, site.field.name)[site.at]


def change(site: Site, places: Sequence[Site], other: ModelProto, random: Random) -> None:
    """A number, a text or data is another one; of a list, one element is."""
    value = site.value
    if not isinstance(value, (int, float, str, bytes, Message)):
        if not value:  # an earlier change has emptied it
            return None
        site = Site(site.message, site.field, random.randrange(len(value)))
        value = site.value
    if isinstance(value, Message):
        return graft(site, places, other, random)
    made = _other_value(site.field, value, places, random)
    if site.at is None:
        setattr(site.message, site.field.name, made)
    else:
        getattr(site.message, site.field.name)[site.at] = made
    return None


def _other_value(field: Any, value: Any, places: Sequence[Site], random: Random) -> Any:
    if isinstance(value, str):
        names = [s.value for s in places if isinstance(s.value, str)]
        return random.choice(names if names and random.random() < 0.7 else TEXTS)
    if isinstance(value, bytes):
        return _other_bytes(value, random)
    if isinstance(value, float):
        return random.choice(FLOATS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return random.choice([number.number for number in field.enum_type.values])
    low, high = _range(field)
    made = random.choice((*EDGES, value + 1, value - 1, -value, random.randrange(30)))
    return min(max(made, low), high)


def _range(field: Any) -> tuple[int, int]:
    small = field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32)
    unsigned = field.type in (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_UINT32)
    return (-(2**31), 2**31 - 1) if small else (0, 2**63) if unsigned else (-(2**63), 2**63 - 1)


def _other_bytes(value: bytes, random: Random) -> bytes:
    return random.choice(
        (
            b"",
            value[:-1],
            value + b"\0",
            value * 2,
            b"\xff" * len(value),
            damaged(value or b"x", random),
            b"\0" * len(value),
        )
    )


def repeat(site: Site, places: Sequence[Site], other: ModelProto, random: Random) -> None:
    """An element stands twice, or as often as 300 times; a list is turned round."""
    value = getattr(site.message, site.field.name)
    if isinstance(value, (int, float, str, bytes, Message)) or not value:
        return drop(site)
    if random.random() < 0.3:
        elements = list(value)[::-1]
    else:
        elements = [*value, *[random.choice(value)] * random.choice((1, 1, 2, 300 if len(str(value)) < 1000 else 3))]
    copies = [_copied(element) for element in elements]
    site.message.ClearField(site.field.name)
    getattr(site.message, site.field.name).extend(copies)
    return None


def _copied(value: Any) -> Any:
    if not isinstance(value, Message):
        return value
    made = type(value)()
    made.CopyFrom(value)
    return made


def graft(site: Site, places: Sequence[Site], other: ModelProto, random: Random) -> None:
    """A message is a copy of another one of its kind, of this model or of another: of itself inside itself, for one."""
    targets = [s for s in places if isinstance(s.value, Message)]
    if not targets:
        return
    target = site if isinstance(site.value, Message) else random.choice(targets)
    kind = type(target.value)
    sources = [s.value for s in (*places, *sites(other)) if isinstance(s.value, kind)]
    if sources:
        target.value.CopyFrom(_copied(random.choice(sources)))


def swap(site: Site, places: Sequence[Site], other: ModelProto, random: Random) -> None:
    """Two values of one kind change places: names, numbers or messages."""
    first = site if site.at is not None or not hasattr(site.value, "extend") else random.choice(places)
    same = [s for s in places if type(s.value) is type(first.value) and s.field.type == first.field.type]
    second = random.choice(same or [first])
    if isinstance(first.value, Message):
        kept = _copied(first.value)
        first.value.CopyFrom(_copied(second.value))
        second.value.CopyFrom(kept)
    else:
        change(first, [second], other, random)


def retype(site: Site, places: Sequence[Site], other: ModelProto, random: Random) -> None:
    """A number that says of which type something is says another one."""
    types = [
        s
        for s in places
        if s.field.name in ("type", "data_type", "elem_type", "to", "dtype", "i", "version", "data_location")
    ]
    chosen = random.choice(types or places)
    if isinstance(chosen.value, int) and chosen.at is None:
        numbers = [n.number for n in chosen.field.enum_type.values] if chosen.field.enum_type else list(range(26))
        setattr(chosen.message, chosen.field.name, random.choice(numbers))


def resize(site: Site, places: Sequence[Site], other: ModelProto, random: Random) -> None:
    """A dimension, or a whole shape, is another one."""
    dims = [s for s in places if s.field.name in ("dims", "dim_value", "dim_param", "ints", "int64_data")]
    change(random.choice(dims or places), places, other, random)


Change = Callable[[Site, Sequence[Site], ModelProto, Random], None]
CHANGES: tuple[Change, ...] = (drop, change, change, change, repeat, graft, swap, retype, resize)


# ---- sound models -------------------------------------------------------------------------------


@functools.cache
def sound() -> tuple[ModelProto, ...]:
    """Models without a fault: networks, as many times over as there are tests of nodes, and these."""
    tests = [case.model for case in node_tests().values() if case.model is not None and case.model.ByteSize() < 10_000]
    networks = [make() for make in (convolutions, attention, branches, loop, functions, beside)]
    return (*tests, *networks * (len(tests) // len(networks)))


def _info(name: str, shape: Sequence[int | str], dtype: int = F) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def _weights(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape), name)


def _ints(name: str, *numbers: int) -> TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def _model(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], weights: Sequence[Any] = (), **rest: Any
) -> ModelProto:
    graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **rest)


def convolutions() -> ModelProto:
    """Convolution, norm, pools, a residual sum, and a classifier whose batch is open."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]),
        node("BatchNormalization", ["c", "b", "b", "b", "v"], ["n"], epsilon=1e-3),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["p", "", "s"], ["u"], mode="nearest"),
        node("Add", ["u", "c"], ["a"]),
        node("GlobalAveragePool", ["a"], ["g"]),
        node("Flatten", ["g"], ["f"], axis=1),
        node("Gemm", ["f", "d", "b"], ["y"], transB=1),
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")
    weights = [
        _weights("w", 4, 2, 3, 3),
        _weights("b", 4),
        numpy_helper.from_array(np.ones(4, np.float32), "v"),
        scales,
        _weights("d", 4, 4),
    ]
    return _model(nodes, [_info("x", ["batch", 2, 8, 8])], [_info("y", ["batch", 4])], weights)


def attention() -> ModelProto:
    """Heads made by the shape arithmetic of exporters, a softmax, an embedding and a norm."""
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "ids"], ["x"]),
        node("LayerNormalization", ["x", "g", "b"], ["n"], axis=-1),
        node("MatMul", ["n", "w"], ["q"]),
        node("Shape", ["q"], ["shape"]),
        node("Slice", ["shape", "zero", "two"], ["front"]),
        node("Concat", ["front", "heads"], ["split"], axis=0),
        node("Reshape", ["q", "split"], ["r"]),
        node("Transpose", ["r"], ["h"], perm=[0, 2, 1, 3]),
        node("Transpose", ["h"], ["k"], perm=[0, 1, 3, 2]),
        node("MatMul", ["h", "k"], ["scores"]),
        node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "h"], ["o"]),
        node("ReduceMean", ["o"], ["y"], axes=[1], keepdims=0),
    ]
    weights = [
        _weights("table", 11, 8),
        _weights("g", 8),
        _weights("b", 8),
        _weights("w", 8, 8),
        _ints("zero", 0),
        _ints("two", 2),
        _ints("heads", 2, 4),
    ]
    return _model(nodes, [_info("ids", ["batch", "time"], I64)], [_info("y", ["batch", "time", 4])], weights)


def branches() -> ModelProto:
    """A branch within a branch, which read values from outside."""
    node = helper.make_node
    inner = [helper.make_graph([node(op, ["x"], [op])], op, [], [_info(op, [2, 3])]) for op in ("Relu", "Neg")]
    nested = helper.make_graph(
        [node("If", ["d"], ["i"], then_branch=inner[0], else_branch=inner[1])], "nested", [], [_info("i", [2, 3])]
    )
    plain = helper.make_graph([node("Add", ["x", "x"], ["e"])], "plain", [], [_info("e", [2, 3])])
    nodes = [node("If", ["c"], ["z"], then_branch=nested, else_branch=plain), node("Exp", ["z"], ["y"])]
    inputs = [_info("x", [2, 3]), _info("c", [], BOOL), _info("d", [], BOOL)]
    return _model(nodes, inputs, [_info("y", [2, 3])])


def loop() -> ModelProto:
    """A loop of four iterations that carries a value, and stacks another."""
    node = helper.make_node
    nodes = [node("Add", ["v", "x"], ["w"]), node("Identity", ["go"], ["again"]), node("Mul", ["w", "w"], ["s"])]
    inputs = [_info("i", [], I64), _info("go", [], BOOL), _info("v", [2])]
    body = helper.make_graph(nodes, "body", inputs, [_info("again", [], BOOL), _info("w", [2]), _info("s", [2])])
    start = [numpy_helper.from_array(np.array(4), "n"), numpy_helper.from_array(np.array(True), "t")]
    outer = [node("Loop", ["n", "t", "x"], ["y", "all"], body=body), node("ReduceSum", ["all"], ["z"], keepdims=0)]
    return _model(outer, [_info("x", [2])], [_info("y", [2]), _info("z", [])], start)


def functions() -> ModelProto:
    """A function of the model's own that calls another."""
    node, opsets = helper.make_node, [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    twice = helper.make_function("local", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], opsets)
    calls = [node("Twice", ["a"], ["t"], domain="local"), node("LeakyRelu", ["t"], ["b"], alpha=0.1)]
    leaky = helper.make_function("local", "Leaky", ["a"], ["b"], calls, opsets)
    return _model(
        [node("Leaky", ["x"], ["y"], domain="local")],
        [_info("x", [2, "n"])],
        [_info("y", [2, "n"])],
        functions=[twice, leaky],
    )


def beside() -> ModelProto:
    """Weights in a file beside the model, sparse ones, and a pair of quantised ones."""
    outside = TensorProto(name="w", data_type=F, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "64")):
        outside.external_data.add(key=key, value=value)
    node, scale = helper.make_node, numpy_helper.from_array(np.array(0.1, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(3, np.uint8), "zero")
    nodes = [node("QuantizeLinear", ["x", "scale", "zero"], ["q"]), node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
             node("MatMul", ["d", "w"], ["m"]), node("Add", ["m", "sparse"], ["y"])]  # fmt: skip
    model = _model(nodes, [_info("x", [3, 4])], [_info("y", [3, 4])], [outside, scale, zero])
    model.graph.sparse_initializer.add().CopyFrom(
        helper.make_sparse_tensor(_weights("sparse", 2), _ints("at", 1, 2), [4])
    )
    return model
