"""The command line: `minicc compile | run | show | detect | classify | ops | ...`, one file per command.

An error a user can cause is printed in its four parts on stderr, without a traceback, and the
exit code is 2; Ctrl-C is one line, and 130. `python -m minicc` is the same program.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from minicc.cli.bench import bench_command
from minicc.cli.cache import cache_command
from minicc.cli.classify import classify_command
from minicc.cli.compare import compare_command
from minicc.cli.compile import compile_command
from minicc.cli.demo import demo_command
from minicc.cli.detect import detect_command
from minicc.cli.doctor import doctor_command
from minicc.cli.explore import explore_command
from minicc.cli.faces import faces_command
from minicc.cli.fusion import fusion_command
from minicc.cli.ops import ops_command
from minicc.cli.profile import profile_command
from minicc.cli.reduce import reduce_command
from minicc.cli.run import run_command
from minicc.cli.show import show_command
from minicc.errors import ConfigError, MiniccError, RunError

# what only those who teach or take the course wait for: the modules of these commands are imported when one is called
LATE = {
    "grade": "Say what a submission earns of the points of each task.",
    "course": "Assignments: begin one, test it, see what comes next; hand-outs, bundles, results.",
}
LOST = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)  # the output has no reader, or no room


class Commands(TyperGroup):
    """The commands, each of which Ctrl-C ends with one line and exit code 130."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, summary in LATE.items():
            self.add_command(TyperCommand(name, help=summary))  # as --help lists it

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name; one of LATE is imported for it."""
        if args and args[0] in LATE:
            self.add_command(typer.main.get_command(import_module(f"minicc.cli.{args[0]}").app), args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print(f"minicc {ctx.invoked_subcommand}: stopped by Ctrl-C; no file is left half-written", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    name="minicc",
    help="A tensor compiler to learn from: ONNX to machine code through IRs that print, verify and run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (compile_command, run_command, profile_command, show_command, explore_command, ops_command, doctor_command, demo_command, compare_command,
            reduce_command, fusion_command, bench_command, cache_command, detect_command, classify_command, faces_command)  # fmt: skip
for command in COMMANDS:
    app.command(command.__name__.removesuffix("_command"))(command)


def main() -> None:
    """The entry point of the `minicc` program."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what cannot be written is told here, not while Python ends
    except MiniccError as error:
        _end(error)
    except MemoryError as error:
        _end(RunError("minicc", f"expected enough memory, got none: {error}", hint="use a smaller model or batch"))
    except RecursionError:
        problem = "expected graphs and expressions that are nested less deeply, got more than Python can follow"
        _end(RunError("minicc", problem, hint="give an intermediate result a tensor or a node of its own"))
    except OSError as error:
        if error.errno not in LOST:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again while it ends
        if error.errno == errno.EPIPE:  # whoever reads less than there is means it, as head does
            sys.exit(1)
        problem = f"expected to write all of the output, got: {error.strerror}"
        _end(ConfigError("minicc", problem, hint="is the disk full? send the output elsewhere"))


def _end(error: MiniccError) -> None:
    print(error, file=sys.stderr)
    sys.exit(2)
