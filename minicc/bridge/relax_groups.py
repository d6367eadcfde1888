"""How Relax fuses a graph: the groups of its FuseOps, each with the TIR functions it consists of.

In: a graph with bound operands. Out: `TvmGroups`. The passes are those of `bridge.relax.cpu_pipeline` up to FuseOps;
patterns are those that AnnotateTIROpPattern reads off the loops.

    print(relax_groups(graph).groups[0].name)  # "fused_conv2d_add_relu"
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minicc.bridge import _tvm
from minicc.bridge.groups import Pattern, TvmGroup, TvmGroups, TvmStep, operators
from minicc.bridge.relax import NODE_OF, TVM_FAILURES, to_relax, tvm_fails
from minicc.graph.ir import Graph, Node


def relax_groups(graph: Graph) -> TvmGroups:
    """The groups that Relax makes of `graph`. Raises BridgeError where an operator has no form in TVM, or TVM fails."""
    tvm = _tvm.load()
    passes = tvm.relax.transform
    module = to_relax(graph)
    try:
        for run in (passes.LegalizeOps(), passes.AnnotateTIROpPattern(), passes.FoldConstant()):
            module = run(module)
        fused = passes.FuseOps()(module)
    except TVM_FAILURES as error:
        raise tvm_fails(f"relax_groups({graph.name})", error, str(graph)) from error
    return TvmGroups("relax", graph, tuple(_read(graph, module, fused)))


@dataclass(frozen=True)
class _Line:
    """A binding that calls no group: its variable, what it calls, and the names of what it reads."""

    name: str
    function: str
    pattern: Pattern
    reads: tuple[str, ...]


class _Reader:
    """Reads functions line by line. A value is known by the name of its variable, a constant by a number.

    FuseOps keeps the names inside of groups, but calls their results anew: such a line is known again by what it calls on
    what. `renamed` holds the names that the variables of the fused function had before; a tuple of them for a tuple.
    """

    def __init__(self, module: Any) -> None:
        self.tvm = _tvm.load()
        self.patterns = {var.name_hint: Pattern(int(f.attrs["op_pattern"])) for var, f in module.functions_items()
                         if f.attrs and "op_pattern" in f.attrs}  # fmt: skip
        self.constants: dict[Any, str] = {}
        self.renamed: dict[Any, Any] = {}
        self.before = [line for binding in bindings(module["main"]) if (line := self.line(binding)) is not None]
        self.known = {line.name for line in self.before}

    def name(self, value: Any) -> Any:
        """The name of a variable or constant; a tuple of names for a tuple."""
        if isinstance(value, self.tvm.relax.Tuple):
            return tuple(self.name(field) for field in value.fields)
        if isinstance(value, self.tvm.relax.TupleGetItem):
            whole = self.name(value.tuple_value)
            return whole[value.index] if isinstance(whole, tuple) else whole
        if isinstance(value, self.tvm.relax.Var):
            return self.renamed.get(value, value.name)
        return self.constants.setdefault(value, f"constant {len(self.constants)}")

    def line(self, binding: Any) -> _Line | None:
        """The line that a binding is; None of a tuple, a field of one, or a call of a group."""
        call = binding.value
        if not isinstance(call, self.tvm.relax.Call) or isinstance(call.op, self.tvm.ir.GlobalVar):
            return None
        name = getattr(call.op, "name", "call")
        if name != "relax.call_tir":
            return _Line(binding.var.name, name, Pattern.LIBRARY, self.reads(call.args))
        name = call.args[0].name_hint
        return _Line(binding.var.name, name, self.patterns.get(name, Pattern.OPAQUE), self.reads(call.args[1:]))

    def reads(self, arguments: Any) -> tuple[str, ...]:
        """The names of the variables and constants among arguments, those in tuples too."""
        found: list[str] = []
        for argument in arguments:
            if isinstance(argument, self.tvm.relax.Tuple):
                found.extend(self.reads(argument.fields))
            elif isinstance(argument, (self.tvm.relax.Var, self.tvm.relax.TupleGetItem, self.tvm.ir.GenericConst)):
                name = self.name(argument)
                found.extend(name if isinstance(name, tuple) else (name,))
        return tuple(found)

    def groups(self, fused: Any) -> Iterator[tuple[str, list[_Line]]]:
        """Each group of a fused module with its lines, under the names from before."""
        for binding in bindings(fused["main"]):
            call = binding.value
            if isinstance(call, self.tvm.relax.Call) and isinstance(call.op, self.tvm.ir.GlobalVar):
                body = fused[call.op]
                self.renamed.update({p: self.name(a) for p, a in zip(body.params, call.args, strict=True)})
                lines = [line for inner in bindings(body) if (line := self.settle(inner)) is not None]
                self.renamed[binding.var] = self.name(body.body.body)
                yield call.op.name_hint, lines
            elif (line := self.settle(binding)) is not None:
                yield line.function, [line]

    def settle(self, binding: Any) -> _Line | None:
        """The line of a binding under the name from before; a binding that is none is remembered."""
        line = self.line(binding)
        if line is None:
            self.renamed[binding.var] = self.name(binding.value)
        elif line.name not in self.known or line not in self.before:
            alike = [b for b in self.before if b.function == line.function]
            line = next((b for b in alike if b.reads == line.reads), alike[0])
            self.renamed[binding.var] = line.name
        if line is not None:
            self.before.remove(line)
        return line


def bindings(function: Any) -> Iterator[Any]:
    """The bindings of a Relax function, in order."""
    for block in function.body.blocks:
        yield from block.bindings


def _read(graph: Graph, module: Any, fused: Any) -> Iterator[TvmGroup]:
    """The groups of `fused`; `module` is what it was before FuseOps."""
    reader = _Reader(module)
    owner = _owners(graph, reader.before)
    for name, lines in reader.groups(fused):
        steps = []
        for line in lines:
            node = owner[line.name]
            reads = dict.fromkeys(owner[r] for r in line.reads if r in owner)
            steps.append(TvmStep(node, line.function, line.pattern, tuple(n for n in reads if n is not node)))
        yield TvmGroup(name, tuple(steps))


def _owners(graph: Graph, lines: list[_Line]) -> dict[str, Node]:
    """The node of each line: that in its name; of a line that a pass of TVM put in, that of the next one that has a node."""
    found: dict[str, Node] = {}
    node = next(reversed(operators(graph)), None)
    for line in reversed(lines):
        if match := NODE_OF.fullmatch(line.name):
            node = graph.nodes[int(match[1])]
        if node is not None:
            found[line.name] = node
    return found
