"""Every error of the package says how to go on: each is built with a hint, or by a function that has one for all."""

import ast
import functools
import inspect
from pathlib import Path

import pytest

import minicc
from minicc import errors
from minicc.errors import MiniccError
from minicc.schedule.step import Illegal

ROOT = Path(minicc.__file__).parent
SOURCES = [p.relative_to(ROOT).as_posix() for p in sorted(ROOT.rglob("*.py"))]
KINDS = {
    c.__name__: c
    for c in (*vars(errors).values(), Illegal)
    if inspect.isclass(c) and issubclass(c, (MiniccError, Illegal))
}


@functools.cache
def parsed(file):
    """The tree of a source, made by the process that tests it."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def called(node):
    """The name of what a call calls."""
    return getattr(node.func, "id", "") or getattr(node.func, "attr", "")


def hint_of(call):
    """The expression that a construction of an error gives as its hint; None without one."""
    place = list(inspect.signature(KINDS[called(call)]).parameters).index("hint")
    given = {k.arg: k.value for k in call.keywords}
    return given.get("hint") or (call.args[place] if len(call.args) > place else None)


def errors_in(tree):
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and called(n) in KINDS]


@pytest.mark.parametrize("file", SOURCES)
def test_no_error_is_built_without_a_hint(file):
    for call in errors_in(parsed(file)):
        hint = hint_of(call)
        assert hint is not None and not (isinstance(hint, ast.Constant) and not hint.value), (
            f"{file}:{call.lineno}: {ast.unparse(call)}"
        )


def makes_up_a_hint(function):
    """Whether a function has words of its own where it is given no hint: `hint or "..."`."""
    return any(
        isinstance(n, ast.BoolOp) and isinstance(n.op, ast.Or) and ast.unparse(n.values[0]) == "hint"
        for n in ast.walk(function)
    )


@pytest.mark.parametrize("file", SOURCES)
def test_what_builds_errors_takes_a_hint_or_has_one(file):
    for function in [n for n in ast.walk(parsed(file)) if isinstance(n, ast.FunctionDef) and errors_in(n)]:
        arguments = [*function.args.args, *function.args.kwonlyargs]
        defaults = (
            [None] * (len(function.args.args) - len(function.args.defaults))
            + function.args.defaults
            + function.args.kw_defaults
        )
        for argument, default in zip(arguments, defaults, strict=True):
            if argument.arg == "hint" and isinstance(default, ast.Constant) and not default.value:
                passed_on = any(ast.unparse(hint_of(e)) == "hint" for e in errors_in(function))
                assert not passed_on or makes_up_a_hint(function), (
                    f"{file}:{function.lineno}: {function.name} may build an error without a hint"
                )


def test_a_very_long_part_is_cut():
    text = str(MiniccError("load('m')", "expected a name, got " + "n" * 70_000 + "!", "w" * 3000, hint="rename it"))
    assert len(text) < 9000 and "(66,022 characters)" in text and "!" in text and "hint: rename it" in text
    assert "expected more" in str(MiniccError("load(" + "m" * 70_000 + ")", "expected more", hint="more"))
