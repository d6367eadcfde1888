"""LLVM that says of each instruction which line of the program's text it comes from: debug locations.

In: a program that all passes of `loop` have seen, a target. Out: the module that `emit` makes, with a location for
each instruction: the line, in `str(program)`, of the statement, or of the head of the loop, guard or allocation, that
made it. (llvmlite prints none for what takes vectors apart and together.) LLVM's passes keep and merge them, and
assembly has them as `.loc` directives. The instructions are the same.

    module = jit.new_module("kernel", target)
    emit_located(module, program, target)
"""

from __future__ import annotations

from typing import Any, ClassVar

import llvmlite.ir as ir

from minicc.codegen.llvm import Statements, emit
from minicc.loop.ir import Seq, Stmt
from minicc.loop.lines import measured
from minicc.loop.program import Program
from minicc.target import Target


def emit_located(module: ir.Module, program: Program, target: Target) -> ir.Function:
    """`emit`, with a location for each instruction. Parallel loops are functions of the line of their loop."""

    class LocatedStatements(Located):
        text = Source(module, program)

    return emit(module, program, target, LocatedStatements)


class Source:
    """The text of a program as a source file, and the line that is being emitted."""

    def __init__(self, module: ir.Module, program: Program) -> None:
        self.module = module
        self.head, self.line, self.lines = measured(program)
        self.file = module.add_debug_info("DIFile", {"filename": f"{program.name}.py", "directory": ""})
        facts = {"language": ir.DIToken("DW_LANG_Python"), "file": self.file, "isOptimized": True,
                 "emissionKind": ir.DIToken("DebugDirectivesOnly")}  # fmt: skip
        self.unit = module.add_debug_info("DICompileUnit", facts, is_distinct=True)
        self.type = module.add_debug_info("DISubroutineType", {"types": module.add_metadata([])})
        module.add_named_metadata("llvm.dbg.cu", self.unit)
        number = ir.IntType(32)
        module.add_named_metadata("llvm.module.flags", [number(2), "Debug Info Version", number(3)])

    def enter(self, function: ir.Function) -> None:
        """Let a function begin at `head`."""
        facts = {"name": function.name, "scope": self.file, "file": self.file, "unit": self.unit, "type": self.type,
                 "line": self.head, "scopeLine": self.head, "spFlags": ir.DIToken("DISPFlagDefinition")}  # fmt: skip
        function.set_metadata("dbg", self.module.add_debug_info("DISubprogram", facts, is_distinct=True))

    def at(self, function: ir.Function, line: int) -> Any:
        """The location of a line in a function."""
        facts = {"line": line, "column": 0, "scope": function.metadata["dbg"]}
        return self.module.add_debug_info("DILocation", facts)


class Located(Statements):
    """Emits the statements of one function, each at its line."""

    text: ClassVar[Source]  # one for all functions of a program

    def __init__(self, function: ir.Function, *rest: Any) -> None:
        super().__init__(function, *rest)
        self.text.enter(function)
        self.builder.debug_metadata = self.text.at(function, self.text.head)

    def run(self, s: Stmt) -> None:
        """Emit `s`, whose text begins at the line where we are."""
        text, line, outside = self.text, self.text.line, self.builder.debug_metadata
        if isinstance(s, Seq):
            for inner in s.stmts:
                self.run(inner)
                text.line += text.lines[inner]
        else:
            head, text.head = text.head, line
            self.builder.debug_metadata = text.at(self.function, line)
            text.line = line + 1
            super().run(s)
            text.head = head
        text.line, self.builder.debug_metadata = line, outside

    def _team(self, body: ir.Function, values: list[ir.Value], team: ir.Value) -> None:
        before = set(self.module.functions)
        super()._team(body, values, team)
        for task in self.module.functions:
            if task not in before and task.blocks:
                self.text.enter(task)
                for instruction in (i for block in task.blocks for i in block.instructions):
                    instruction.set_metadata("dbg", self.text.at(task, self.text.head))
