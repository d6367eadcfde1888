"""The ONNX frontend: a model file becomes a graph.

In: a path, the bytes of a file, or a `ModelProto`. Out: a `Graph`, or a LoadError. Opset 7 to the
newest one that the installed onnx package knows. Every operator that minicc lacks is reported at
once. A model of more than `MOST_NODES` nodes is refused before any is looked at. The file is not
trusted: no size, name, order or path in it is believed before it is checked.

    graph = load("model.onnx")
    print(graph)
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import networkx
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, TensorShapeProto, ValueInfoProto, defs

from minicc.errors import LoadError, MiniccError, nearest
from minicc.frontend.formats import HEAD, foreign, named
from minicc.frontend.onnx_call import Call
from minicc.frontend.onnx_functions import Item, flatten
from minicc.frontend.onnx_ops import TRANSLATIONS
from minicc.frontend.onnx_tensors import array, checked_dims, dense, dtype_of
from minicc.graph.interpret import given_array, match_shape
from minicc.graph.ir import Defaults, Graph, Node, Span, constant, input, spanned
from minicc.ops.base import Array
from minicc.paths import unreadable
from minicc.types import Dim, Symbol, TensorType

OLDEST = 7
NEWEST: int = defs.onnx_opset_version()
LARGEST = 2**31 - 1  # bytes of a protobuf
MOST_NODES = (
    200_000  # of a model: some ten times those of the largest in use; each takes 0.1 ms to load and as long to optimize
)


def load(source: str | Path | bytes | ModelProto) -> Graph:
    """The graph of an ONNX model.

    Symbolic dimensions keep their names; one without a name is called INPUT_AXIS. Tensors that
    lie in files beside the model are read only from a model given by its path. An initializer that is
    listed as an input, too, is a constant that callers may replace by an array of its type (from IR
    version 4 on, as the ONNX text says).
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        model = _parse(_read(path), path.name)
        return _load(path.name, _folders(path), model)
    if isinstance(source, ModelProto):
        return _load("model", (), source)
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise LoadError(
            "load(model)",
            f"expected a path, bytes or a ModelProto, got {type(source).__name__}",
            hint="load('model.onnx'); torch.onnx.export writes one of a PyTorch module",
        )
    return _load("model", (), _parse(bytes(source), "model"))


def read_model(path: Path) -> ModelProto:
    """The model in a file, with the tensors put in that lie beside it, for other tools. `load` must have found it sound."""
    model = _parse(_read(path), path.name)
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            content = array(tensor, _folders(path), path.name).tobytes()
            del tensor.external_data[:]
            tensor.ClearField("data_location")
            tensor.raw_data = content
    return model


def _replaced(
    name: str, folders: tuple[Path, ...], model: ModelProto, types: Mapping[str, TensorType], values: Mapping[str, Any]
) -> Graph:
    """The graph of `model` with other arrays for some initializers."""
    made = ModelProto()
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        if tensor.name in values:
            value = given_array(f"load({name!r})", tensor.name, types[tensor.name], values[tensor.name])
            match_shape(f"load({name!r})", tensor.name, types[tensor.name], value.shape, {})
            tensor.CopyFrom(
                TensorProto(name=tensor.name, data_type=tensor.data_type, dims=value.shape, raw_data=value.tobytes())
            )
    return _load(name, folders, made)


def _folders(path: Path) -> tuple[Path, ...]:
    """Where data beside the model may lie: in the folder of its path, and of the path that this leads to."""
    return path.parent, path.resolve().parent


def _load(name: str, folders: tuple[Path, ...], model: ModelProto) -> Graph:
    try:
        return _Loader(name, folders, model).graph()
    except MiniccError:
        raise
    except Exception as error:  # a damaged file may hold anything anywhere: names that are not text, for one
        raise LoadError(
            f"load({name!r})",
            f"expected well-formed fields, got {type(error).__name__}: {error}",
            name,
            "the file is damaged",
        ) from error


def _read(path: Path) -> bytes:
    call = f"load({str(path)!r})"
    if refused := unreadable(path, ".onnx"):
        raise LoadError(call, f"expected a file, got {refused[0]}", str(path), refused[1])
    try:
        with path.open("rb") as file:
            _check_format(file.read(HEAD), path.name)  # before the rest is read: archives of weights are large
            if (size := file.seek(0, os.SEEK_END)) > LARGEST:
                raise LoadError(
                    call,
                    f"expected at most {LARGEST:,} bytes, the most that a protobuf has, got {size:,}",
                    str(path),
                    "keep the tensors beside the model: onnx.save(model, path, save_as_external_data=True)",
                )
            file.seek(0)
            return file.read()
    except OSError as error:
        raise LoadError(
            call,
            f"expected a file, got one that cannot be read: {error.strerror}",
            str(path),
            "copy the file to a disk of yours",
        ) from None


def _check_format(head: bytes, name: str) -> None:
    if not head:
        raise LoadError(
            f"load({name!r})",
            "expected an ONNX model, got an empty file",
            name,
            "copy, download or export the model again",
        )
    if found := foreign(head):
        raise LoadError(f"load({name!r})", f"expected an ONNX model, got {found[0]}", name, found[1])


def _parse(content: bytes, name: str) -> ModelProto:
    _check_format(content[:HEAD], name)
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        found = named(content[:HEAD], name)
        begins = content[:1] == b"\x08"  # the version that models begin with
        what, hint = found or (
            f"{len(content):,} bytes that do not parse ({error})",
            "the file begins as a model does, and is cut off or damaged: copy, download or export it again"
            if begins
            else "the file is no ONNX model, or is damaged",
        )
        raise LoadError(f"load({name!r})", f"expected an ONNX protobuf, got {what}", name, hint) from None
    return model


@dataclass
class _Loader:
    name: str
    folders: tuple[Path, ...]
    model: ModelProto
    spans: dict[Node, Span] = field(default_factory=dict)

    def error(self, problem: str, where: str, hint: str) -> LoadError:
        return LoadError(f"load({self.name!r})", problem, where, hint)

    def graph(self) -> Graph:
        opset = self._opset()
        proto = self.model.graph
        if len(proto.node) > MOST_NODES:
            raise self.error(
                f"expected at most {MOST_NODES:,} nodes, got {len(proto.node):,}",
                self.name,
                "split the model, or export its loops as loops of the calling program",
            )
        names = tuple(output.name for output in proto.output)
        items, read = self._needed(flatten(self.model, opset, self.name), names)
        self._check_supported(items)
        values: dict[str, Node | None] = {}
        for name, tensor in self._initializers(proto):
            with spanned(self.spans, Span(self.name, name)):
                self._define(values, name, constant(self._array(tensor)) if name in read else None)
        inputs = tuple(self._inputs(proto, values))
        for item in self._sorted(items, values):
            self._translate(item, values)
        self._check_outputs(names, values)
        outputs = tuple(node for name in names if (node := values[name]) is not None)
        return Graph(
            re.sub(r"\W", "_", proto.name) or "main", inputs, outputs, names, {}, self._defaults(values)
        ).located(self.spans)

    # Checks of the whole model

    def _opset(self) -> int:
        versions = {entry.domain or "ai.onnx": entry.version for entry in self.model.opset_import}
        inner = [e.version for f in self.model.functions for e in f.opset_import if e.domain in ("", "ai.onnx")]
        if not self.model.HasField("graph") or "ai.onnx" not in versions:
            what, hint = named(b"", self.name) or (
                "one" if self.model.HasField("graph") else "no graph",
                "the file is damaged, or is no ONNX model; torch.onnx.export and tf2onnx write one",
            )
            raise self.error(
                f"expected a model with a graph and an opset of ai.onnx, got {what} with opsets {versions}",
                self.name,
                hint,
            )
        opset = int(versions["ai.onnx"])
        for version in (opset, *inner):
            if not 1 <= version <= NEWEST or self.model.ir_version > onnx.IR_VERSION:
                raise self.error(
                    f"opset must be {OLDEST} to {NEWEST} and the IR version at most {int(onnx.IR_VERSION)}, got "
                    f"opset {version} and IR version {self.model.ir_version}",
                    self.name,
                    "export the model with an older opset, or install a newer onnx package",
                )
        return opset

    def _check_supported(self, items: Sequence[Item]) -> None:
        """Report every operator that is not supported, with its number of nodes and their names."""
        lacking: dict[str, list[str]] = {}
        for item in items:
            if (reason := _lacking(item)) is not None:
                lacking.setdefault(reason, []).append(item.node.name or f"node {item.index}")
        if lacking:
            counts = Counter({reason: len(nodes) for reason, nodes in lacking.items()})
            lines = [
                f"{reason}: {count} x ({', '.join(lacking[reason][:3])}{', ...' if count > 3 else ''})"
                for reason, count in counts.most_common()
            ]
            raise self.error(
                f"operators that are not supported: {len(lacking)}, on {counts.total()} nodes",
                "\n".join(lines),
                f"{len(TRANSLATIONS)} operators are supported; export the model without these",
            )

    def _check_outputs(self, names: Sequence[str], values: dict[str, Node | None]) -> None:
        if not names:
            raise self.error(
                "expected at least one output, got none",
                f"graph {self.model.graph.name!r}",
                "list the results among the outputs of the graph, and export or save the model again",
            )
        for name, count in Counter(names).items():
            if values.get(name) is None or count > 1:
                raise self.error(
                    f"output {name!r} must be computed once and listed once, got it {'listed ' + str(count) + ' times' if count > 1 else 'nowhere'}",
                    f"graph {self.model.graph.name!r}",
                    "list it once; Identity makes another output of it" if count > 1 else self._meant(name, values),
                )

    def _define(self, values: dict[str, Node | None], name: str, value: Node | None) -> None:
        if name in values or not name:
            raise self.error(
                f"value {name!r} must have a name of its own",
                f"{name!r} is defined twice" if name else "no name",
                "names of inputs, initializers and results are unique: rename one, and what reads it"
                if name
                else "give it a name",
            )
        values[name] = value

    @staticmethod
    def _meant(name: str, known: Iterable[str]) -> str:
        """A hint for a name that nothing has."""
        near = nearest(name, filter(None, known))
        return (
            f"did you mean {near!r}?"
            if near
            else "the node that makes it is missing, or a name is misspelt: export the model again"
        )

    # Parts of the graph

    def _needed(self, items: Sequence[Item], outputs: Iterable[str]) -> tuple[list[Item], set[str]]:
        """The nodes that the outputs depend on, in the order of the file, and the names that these and the outputs read."""
        producer: dict[str, int] = {}
        for position, item in enumerate(items):
            for name in filter(None, item.node.output):
                if name in producer:
                    raise self.error(
                        f"value {name!r} must be defined once",
                        str(item.span(self.name)),
                        f"the result of {items[producer[name]].span(self.name)} has this name, too: rename one, and what reads it",
                    )
                producer[name] = position
        read, live = set(outputs), set[int]()
        waiting = list(read)
        while waiting:
            position = producer.get(waiting.pop(), -1)
            if position >= 0 and position not in live:
                live.add(position)
                fresh = set(items[position].node.input) - read
                read |= fresh
                waiting += fresh
        return [items[position] for position in sorted(live)], read

    def _initializers(self, proto: GraphProto) -> Iterator[tuple[str, TensorProto | SparseTensorProto]]:
        yield from ((tensor.name, tensor) for tensor in proto.initializer)
        yield from ((sparse.values.name, sparse) for sparse in proto.sparse_initializer)

    def _array(self, tensor: TensorProto | SparseTensorProto) -> Array:
        return (array if isinstance(tensor, TensorProto) else dense)(tensor, self.folders, self.name)

    def _inputs(self, proto: GraphProto, values: dict[str, Node | None]) -> Iterator[Node]:
        """The inputs; one that has an initializer is that constant."""
        initial = set(values)
        symbols = _Symbols()
        for info in proto.input:
            if info.name in initial:
                initial.remove(info.name)  # so that a second input of this name is found
                continue
            with spanned(self.spans, Span(self.name, info.name, "input")):
                node = input(info.name, self._type(info, symbols))
            self._define(values, info.name, node)
            yield node

    def _defaults(self, values: Mapping[str, Node | None]) -> Defaults | None:
        """The inputs that are initializers, too, if there are any."""
        listed = {info.name for info in self.model.graph.input} if self.model.ir_version >= 4 else set()
        types = {
            t.name: node.type
            for t in self.model.graph.initializer
            if t.name in listed and (node := values[t.name]) is not None
        }
        return Defaults(types, partial(_replaced, self.name, self.folders, self.model, types)) if types else None

    def _type(self, info: ValueInfoProto, symbols: _Symbols) -> TensorType:
        what = f"input {info.name!r}"
        tensor = info.type.tensor_type
        if info.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
            raise self.error(
                f"{what} must be a tensor with a shape, got {info.type.WhichOneof('value') or 'no type'}",
                what,
                "sequences, optionals and tensors of unknown rank are not supported",
            )
        dims = [self._dim(d, f"{info.name}_{axis}", symbols) for axis, d in enumerate(tensor.shape.dim)]
        checked_dims([d for d in dims if isinstance(d, int)], what, self.name)
        return TensorType(dtype_of(tensor.elem_type, what, self.name), tuple(dims))

    def _dim(self, dim: TensorShapeProto.Dimension, nameless: str, symbols: _Symbols) -> Dim:
        """A dimension. Exporters write an unknown one as nothing, as -1 (PaddlePaddle), as "?" or as "None"."""
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value != -1:
            return int(dim.dim_value)
        named = re.search("[A-Za-z]", dim.dim_param) and dim.dim_param != "None"
        return symbols.of(dim.dim_param) if named else symbols.of(nameless, given=False)

    def _sorted(self, items: Sequence[Item], values: dict[str, Node | None]) -> list[Item]:
        """The nodes with producers first, otherwise in the order of the file."""
        producer = {name: position for position, item in enumerate(items) for name in item.node.output if name}
        for name in producer:
            if name in values:
                raise self.error(
                    f"value {name!r} must be defined once",
                    str(items[producer[name]].span(self.name)),
                    "an input or an initializer has this name, too: rename one, and what reads it",
                )
        edges: list[tuple[int, int]] = []
        for position, item in enumerate(items):
            for name in filter(None, item.node.input):
                if name not in values and name not in producer:
                    raise self.error(
                        f"input {name!r} must be an input, an initializer or the result of a node, got nothing "
                        "of that name",
                        str(item.span(self.name)),
                        self._meant(name, [*values, *producer]),
                    )
                if name in producer:
                    edges.append((producer[name], position))
        if all(a < b for a, b in edges):
            return list(items)
        return self._topological(items, edges)

    def _topological(self, items: Sequence[Item], edges: Iterable[tuple[int, int]]) -> list[Item]:
        order = networkx.DiGraph()
        order.add_nodes_from(range(len(items)))
        order.add_edges_from(edges)
        try:
            return [items[i] for i in networkx.lexicographical_topological_sort(order)]
        except networkx.NetworkXUnfeasible:
            cycle = [a for a, _ in networkx.find_cycle(order)]
            where = "\n".join(str(items[i].span(self.name)) for i in cycle[:8])
            raise self.error(
                f"a graph must have no cycle, got one of {len(cycle)} nodes",
                where,
                "let one of these nodes read another value; recurrences are exported unrolled",
            ) from None

    def _translate(self, item: Item, values: dict[str, Node | None]) -> None:
        span = item.span(self.name)
        try:
            call = Call(item.node, item.version, [values[name] if name else None for name in item.node.input], span)
            with spanned(self.spans, span):
                result = TRANSLATIONS[item.node.op_type](call)
            call.finish()
        except MiniccError:
            raise
        except Exception as error:  # attributes of a hostile model may break any assumption of an operator
            raise self.error(
                f"{item.node.op_type} cannot be translated: {type(error).__name__}: {error}",
                str(span),
                f"compare the node with {item.node.op_type} in the ONNX operator reference; onnx.checker may say more",
            ) from error
        results = (result,) if isinstance(result, Node) else tuple(result)
        for position, name in enumerate(item.node.output):
            if not name:
                continue
            if position >= len(results) or results[position] is None:
                raise self.error(
                    f"output {position} of {item.node.op_type} is not supported",
                    str(span),
                    "export the model without it",
                )
            values[name] = results[position]


class _Symbols:
    """Symbols by the name that the file gives; made fit for printing, and still distinct."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, bool], Symbol] = {}
        self.taken: set[str] = set()
        self.counts: Counter[str] = Counter()

    def of(self, name: str, given: bool = True) -> Symbol:
        """The symbol of a name that the file gives, or (`given` false) of one that we made up."""
        key = name, given
        if key not in self.found:
            plain = re.sub(r"\W", "_", name, flags=re.ASCII)
            plain = plain if plain[0].isalpha() else f"n{plain}"
            fresh = plain
            while fresh in self.taken:
                self.counts[plain] += 1
                fresh = f"{plain}_{self.counts[plain] + 1}"
            self.taken.add(fresh)
            self.found[key] = Symbol(fresh)
        return self.found[key]


def _lacking(item: Item) -> str | None:
    """Why there is no translation of this node; None when there is one."""
    kind, domain = item.node.op_type, item.node.domain
    if domain not in ("", "ai.onnx"):
        return f"{domain}::{kind}"
    if kind not in TRANSLATIONS:
        return kind
    try:
        schema = defs.get_schema(kind, item.version, "")
    except defs.SchemaError:
        return f"{kind} (not in opset {item.version})"
    if schema.deprecated and kind != "GroupNormalization":  # the form of opset 18 is deprecated, and in use
        return f"{kind} (gone from opset {item.version})"
    if item.version < OLDEST and defs.get_schema(kind, OLDEST, "").since_version > item.version:
        return f"{kind} (of opset {item.version}; it changed before opset {OLDEST})"
    return None
