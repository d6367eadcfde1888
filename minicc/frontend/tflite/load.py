"""A TensorFlow Lite file becomes a graph.

In: a path, or the bytes of a file. Out: a `Graph` of the first subgraph, or a LoadError. Every operator that minicc
lacks is reported at once. Inputs and outputs have the names of the file's signature, or else those of their tensors;
a dimension that is not known is a symbol INPUT_AXIS. The file is not trusted: no count, place or type in it is believed
before it is checked (`file.py`).
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minicc.errors import LoadError, MiniccError
from minicc.frontend.symbols import Symbols
from minicc.frontend.tflite.arithmetic import ARITHMETIC
from minicc.frontend.tflite.call import Meaning, TfliteCall, TfliteTensor
from minicc.frontend.tflite.detection import DETECTION
from minicc.frontend.tflite.file import TfliteFile
from minicc.frontend.tflite.movement import MOVEMENT
from minicc.frontend.tflite.quantization import quantized
from minicc.frontend.tflite.sparsity import densified
from minicc.frontend.tflite.windows import WINDOWS
from minicc.paths import unreadable
from minicc.graph.ir import Graph, Node, Span, constant, input, spanned
from minicc.ops.base import Array
from minicc.types import Dim, TensorType

IDENTIFIER = b"TFL3"  # at byte 4
VERSION = 3
MOST_OPERATORS = 200_000  # far more than those of any model in use
LARGEST = 2**34  # bytes of a file; weights beyond 2 GB lie behind the flatbuffer
TRANSLATIONS: Mapping[str, Meaning] = {**ARITHMETIC, **DETECTION, **MOVEMENT, **WINDOWS}


def load(source: str | Path | bytes, keep: bool = True) -> Graph:
    """The graph of a TensorFlow Lite model; its weights are the bytes of the file, and are kept in any case.

    Raises LoadError when the file is damaged, or has operators that minicc lacks.
    """
    if isinstance(source, (str, Path)):
        file = TfliteFile(Path(source).name, _read(Path(source)))
    else:
        file = TfliteFile("model.tflite", bytes(source))
    if importlib.util.find_spec("tflite") is None:
        problem = "expected the package tflite, which knows the schema of these files, got none"
        raise file.error(problem, file.name, 'pip install "minicc[tflite]"')
    if file.content[4:8] != IDENTIFIER:
        problem = f"expected a flatbuffer with {IDENTIFIER.decode()} at byte 4, got {file.content[4:8]!r}"
        raise file.damaged(problem)
    try:
        return _Translation(file).graph()
    except MiniccError:
        raise
    except Exception as error:
        expected = "offsets that stay in the file" if _of_accessors(error) else "well-formed tables"
        raise file.damaged(f"expected {expected}, got {type(error).__name__}: {error}") from error


def _of_accessors(error: Exception) -> bool:
    """Whether the accessors of flatbuffers raised it: they do, all kinds of errors, where an offset leads out of the file."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and str(place.tb_frame.f_globals.get("__name__")).startswith("flatbuffers")


def _read(path: Path) -> bytes:
    call = f"load({str(path)!r})"
    if refused := unreadable(path, ".tflite"):
        raise LoadError(call, f"expected a file, got {refused[0]}", str(path), refused[1])
    try:
        if (size := path.stat().st_size) > LARGEST:
            problem = f"expected at most {LARGEST:,} bytes, got {size:,}"
            raise LoadError(call, problem, str(path), "give a smaller model")
        return path.read_bytes()
    except OSError as error:
        problem = f"expected a file, got one that cannot be read: {error.strerror}"
        raise LoadError(call, problem, str(path), "copy the file to a disk of yours") from None


@dataclass
class _Operator:
    index: int
    kind: str
    table: Any
    inputs: tuple[int, ...]  # -1 where one is absent
    outputs: tuple[int, ...]


@dataclass
class _Translation:
    file: TfliteFile
    spans: dict[Node, Span] = field(default_factory=dict)
    tensors: dict[int, TfliteTensor] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)  # the names of inputs
    symbols: Symbols = field(default_factory=Symbols)
    shapes: dict[Node, Array | None] = field(default_factory=dict)  # that are computed, of `shapes.dims_of`
    values: dict[int, Node] = field(default_factory=dict)  # by the index of their tensor

    def graph(self) -> Graph:
        file, model = self.file, self.file.model
        if model.Version() != VERSION or not file.count(model, "Subgraphs"):
            hint = "convert the model again, with today's converter"
            got = f"version {model.Version()} and {model.SubgraphsLength()}"
            raise file.error(
                f"expected a TensorFlow Lite model of version {VERSION} with a subgraph, got {got}", file.name, hint
            )
        self.subgraph = model.Subgraphs(0)
        self.most = file.count(self.subgraph, "Tensors")
        inputs, outputs = (file.numbers(self.subgraph, name) for name in ("Inputs", "Outputs"))
        names = self._names(inputs, "Inputs"), self._names(outputs, "Outputs")
        operators = self._needed(self._operators(), inputs, outputs)
        self._check_supported(operators)
        self.labels = dict(zip(inputs, names[0], strict=True))
        nodes = tuple(self._input(index, name) for index, name in zip(inputs, names[0], strict=True))
        for operator in operators:
            self._translate(operator)
        results = tuple(self._value(index, f"output {name!r}") for index, name in zip(outputs, names[1], strict=True))
        title = re.sub(r"\W", "_", file.text(self.subgraph.Name())) or "main"
        return Graph(title, nodes, results, names[1]).located(self.spans)

    # ---- what the file has ----

    def _operators(self) -> list[_Operator]:
        count = self.file.count(self.subgraph, "Operators")
        if count > MOST_OPERATORS:
            raise self.file.damaged(f"expected at most {MOST_OPERATORS:,} operators, got {count:,}")
        kinds = [self._kind(code) for code in self.file.tables(self.file.model, "OperatorCodes")]
        found = []
        for index in range(count):
            table = self.subgraph.Operators(index)
            if not 0 <= (code := table.OpcodeIndex()) < len(kinds):
                raise self.file.damaged(f"operator {index} must be one of {len(kinds)} kinds, got number {code}")
            lists = (self.file.numbers(table, name) for name in ("Inputs", "Outputs"))
            found.append(_Operator(index, kinds[code], table, *lists))
        return found

    def _kind(self, code: Any) -> str:
        """The name of an operator; of the two fields for its number files of today fill both, old ones the lesser."""
        import tflite

        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _BUILTIN.setdefault(0, {v: k for k, v in vars(tflite.BuiltinOperator).items() if k.isupper()}).get(
            number
        )
        return self.file.text(code.CustomCode()) or "CUSTOM" if name == "CUSTOM" else name or f"operator {number}"

    def _tensor(self, index: int) -> TfliteTensor:
        """What the file says of a tensor."""
        if index in self.tensors:
            return self.tensors[index]
        if not 0 <= index < self.most:
            raise self.file.damaged(f"expected one of {self.most} tensors, got number {index}")
        file, table = self.file, self.subgraph.Tensors(index)
        name = file.text(table.Name())
        what = f"tensor {index} {name!r}"
        dtype, shape = file.dtype(table.Type(), what), file.shape(file.numbers(table, "Shape"), what)
        signature = file.numbers(table, "ShapeSignature") or shape
        if len(signature) != len(shape) or any(s not in (-1, d) for s, d in zip(signature, shape, strict=True)):
            raise file.damaged(
                f"{what} of shape {list(shape)} must have a signature of it, got {list(signature)}", what
            )
        q = file.quantization(table, shape, what)
        dims: tuple[Dim, ...] = tuple(
            self.symbols.of(f"{self.labels.get(index, name)}_{axis}", given=False) if dim == -1 else dim
            for axis, dim in enumerate(signature)
        )
        made = TfliteTensor(
            index, name, TensorType(dtype, dims), q, table.Buffer(), table.Sparsity(), bool(table.IsVariable())
        )
        return self.tensors.setdefault(index, made)

    def _names(self, indices: Sequence[int], end: str) -> tuple[str, ...]:
        """The names of inputs or outputs: those of the signature of this subgraph, if there is one."""
        if not indices and end == "Outputs":
            raise self.file.damaged("expected at least one output, got none")
        named: dict[int, str] = {}
        for signature in self.file.tables(self.file.model, "SignatureDefs"):
            if signature.SubgraphIndex() == 0 and not named:
                maps = list(self.file.tables(signature, end))
                named = {entry.TensorIndex(): self.file.text(entry.Name()) for entry in maps}
        found: list[str] = []
        for index in indices:
            name = named.get(index) or self._tensor(index).name or f"tensor_{index}"
            found.append(name if name not in found else f"{name}_{len(found)}")
        return tuple(found)

    # ---- checks of the whole model ----

    def _needed(self, operators: Sequence[_Operator], inputs: Sequence[int], outputs: Sequence[int]) -> list[_Operator]:
        """The operators that the outputs depend on; each value is made once, and before it is read."""
        made: dict[int, int] = dict.fromkeys(inputs, -1)
        for operator in operators:
            for index in operator.outputs:
                if made.setdefault(index, operator.index) != operator.index:
                    raise self.file.damaged(
                        f"tensor {index} must be made once, got it of operator {operator.index}, too"
                    )
        read, kept = set(outputs), []
        for operator in reversed(operators):
            if read.isdisjoint(operator.outputs):
                continue
            kept.append(operator)
            read.update(operator.inputs)
            for index in operator.inputs:
                if made.get(index, -1) >= operator.index:
                    problem = f"operator {operator.index} must read what was made before, got tensor {index}"
                    raise self.file.damaged(f"{problem} of operator {made[index]}")
        return kept[::-1]

    def _check_supported(self, operators: Sequence[_Operator]) -> None:
        lacking = Counter(operator.kind for operator in operators if operator.kind not in TRANSLATIONS)
        if lacking:
            problem = f"operators that are not supported: {len(lacking)}, on {lacking.total()} nodes"
            where = "\n".join(f"{kind}: {count} x" for kind, count in lacking.most_common())
            hint = f"{len(TRANSLATIONS)} operators are supported; convert the model without these"
            raise self.file.error(problem, where, hint)

    # ---- parts of the graph ----

    def _input(self, index: int, name: str) -> Node:
        tensor = self._tensor(index)
        if index in self.values:
            raise self.file.damaged(f"input {name!r} must be listed once, got {tensor.what} twice")
        with spanned(self.spans, Span(self.file.name, name, "input")):
            self.values[index] = input(name, tensor.type)
        return self.values[index]

    def _value(self, index: int, reader: str) -> Node:
        """What a tensor holds: what was made, or its constant."""
        if index in self.values:
            return self.values[index]
        tensor = self._tensor(index)
        content = self.file.content_of(tensor.buffer, tensor.what)
        if tensor.variable or (not content.size and tensor.type.size):
            problem = f"{reader} must be an input, a constant or made by an operator, got {tensor.what}"
            hint = "models that keep a state from call to call are not supported" if tensor.variable else ""
            raise self.file.error(problem, reader, hint or "the file is damaged, or was converted in parts")
        shape, dtype, sparse = tensor.type.shape, tensor.type.dtype, tensor.sparsity is not None
        if not tensor.type.is_bound:
            raise self.file.damaged(f"{tensor.what} must have a whole shape, as it is constant, got {tensor.type}")
        stored = (content.size // dtype.bytes,) if sparse else shape
        array = self.file.weights(content, dtype, stored, tensor.what)
        if sparse:
            array = densified(self.file, tensor.sparsity, array, shape, tensor.what)
        with spanned(self.spans, Span(self.file.name, tensor.name)):
            self.values[index] = constant(array)
        return self.values[index]

    def _translate(self, operator: _Operator) -> None:
        name = self._tensor(operator.outputs[0]).name if operator.outputs else ""
        span = Span(self.file.name, name, operator.kind, operator.index)
        for index in operator.inputs:
            if index != -1:
                self._value(index, str(span))
        tensors = [None if index == -1 else self._tensor(index) for index in operator.inputs]
        outputs = [self._tensor(index) for index in operator.outputs]
        meaning = TRANSLATIONS[operator.kind]
        try:
            with spanned(self.spans, span):
                call = TfliteCall(
                    self.file, operator.kind, meaning, operator.table, tensors, outputs, self.values, span, self.shapes
                )
                result = meaning.translate(call)
                results = [result] if isinstance(result, Node) else list(result)
                results = [self._as_declared(call, y, t) for y, t in zip(results, outputs, strict=False)]
        except MiniccError:
            raise
        except Exception as error:  # options of a hostile model may break any assumption of an operator
            if _of_accessors(error):
                raise
            hint = f"compare the operator with {operator.kind} in the reference of TensorFlow Lite"
            problem = f"{operator.kind} cannot be translated: {type(error).__name__}: {error}"
            raise self.file.error(problem, str(span), hint) from error
        if len(results) < len(outputs):
            raise call.error(f"expected {len(results)} results, got {len(outputs)}")
        self.values.update(zip(operator.outputs, results, strict=True))

    def _as_declared(self, call: TfliteCall, y: Node, tensor: TfliteTensor) -> Node:
        """A result in the type that the file says, quantised where it is so."""
        q, dtype = tensor.quantization, tensor.type.dtype
        if q is not None and dtype.is_integer and not call.as_stored and y.inferred is not None and y.dtype.is_float:
            if not q.whole:
                raise call.error("expected one scale for a result, got one for each part of an axis")
            y = quantized(y, q, dtype)
        if y.inferred is not None and y.dtype is not dtype:
            problem = f"expected a result of {y.dtype}, got {tensor.what} of {dtype}"
            raise call.error(problem, "the file is damaged, or its operators are of another version: convert it again")
        return y


_BUILTIN: dict[int, dict[int, str]] = {}  # the names of operators by their number, once the schema is imported
