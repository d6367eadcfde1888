"""Docstrings are there, and their examples are true.

Every module, and every public class and function of `minicc`, says what it is. Three kinds speak
for themselves: a function whose whole body is one `return`, an override of what its base class
documents, and the functions of the frontend's tables, which translate the operator they are
named after.
"""

import ast
import doctest
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import minicc

MODULES = [
    "minicc",
    *(m.name for m in pkgutil.walk_packages(minicc.__path__, "minicc.") if not m.name.endswith("__main__")),
]
TABLES = (
    *(f"minicc.frontend.onnx.{name}" for name in ("ops", "quantized")),
    *(f"minicc.frontend.torch.{name}" for name in ("indexing", "movement", "pointwise", "reductions", "windows")),
)
LAZY = {"functorch", "sympy", "torch", "tvm"}  # optional: a module that needs one is tested where it is installed


def source_of(name):
    return Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")


def load(name):
    if re.search("^from tvm import", source_of(name), re.MULTILINE):
        return None  # it is imported by the old TVM's Python only
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in LAZY:
            pytest.skip(f"needs {error.name}")
        raise


def is_one_return(definition):
    """Whether the body is `return ...`, or the `...` of a protocol."""
    if len(definition.body) != 1 or isinstance(definition, ast.ClassDef):
        return False
    only = definition.body[0]
    return isinstance(only, ast.Return) or (isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant))


def is_documented_above(owner, name):
    """Whether a base class documents its attribute of this name."""
    bases = owner.__mro__[1:] if inspect.isclass(owner) else ()
    return any(getattr(base.__dict__.get(name), "__doc__", None) for base in bases)


def undocumented(body, owner, prefix=""):
    """The public definitions in `body`, those of classes included, that say nothing."""
    for definition in body:
        if not isinstance(definition, (ast.FunctionDef, ast.ClassDef)) or definition.name.startswith("_"):
            continue
        documented = ast.get_docstring(definition) or is_one_return(definition)
        if not documented and not is_documented_above(owner, definition.name):
            yield prefix + definition.name
        if isinstance(definition, ast.ClassDef):
            yield from undocumented(definition.body, getattr(owner, definition.name, None), f"{definition.name}.")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if module := load(name):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_says_what_it_is(name):
    module, tree = load(name), ast.parse(source_of(name))
    assert ast.get_docstring(tree), f"{name} has no docstring"
    if name not in TABLES:
        assert not list(undocumented(tree.body, module))


def test_the_check_sees_what_it_should():
    class Base:
        def known(self):
            """What it is."""

    class Derived(Base):
        pass

    class Module:
        C = Derived

    text = "class C:\n    def known(self):\n        a = 1\n        return a\n    def new(self):\n        a = 1\n        return a\n"
    text += (
        "def one():\n    return 1\ndef _private():\n    pass\ndef two():\n    '''Is two.'''\n    a = 2\n    return a\n"
    )
    assert list(undocumented(ast.parse(text).body, Module)) == ["C", "C.new"]
