"""What a user has of PyTorch as an `ExportedProgram` of operators that are translated, or that PyTorch takes apart.

In: a module, a function, a module that `torch.jit` traced or scripted, or a program that was exported, and example inputs.
Out: the program, functional, in inference. Operators of the tables stay whole (a linear layer, attention); all others
are decomposed as far as PyTorch knows how.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._export.converter import TS2EPConverter
from torch.export import ExportedProgram

from minicc.errors import LoadError
from minicc.frontend.torch.translate import translation_of

Decompositions = dict[Any, Callable[..., Any]]
CALL = "from_torch"


def decompositions() -> Decompositions:
    """How PyTorch takes operators apart, of those that are not translated whole."""
    known: Decompositions = dict(torch.export.default_decompositions())
    for op, how in torch._decomp.decomposition_table.items():
        if how.__module__ == torch._decomp.decompositions.__name__:  # others lead to primitives that nobody translates
            known.setdefault(op, how)
    return {op: how for op, how in known.items() if translation_of(op) is None}


def export(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], dynamic_shapes: Any) -> ExportedProgram:
    """The program of a module on such inputs, decomposed. Raises LoadError where PyTorch cannot export it."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what exporting deprecates, which nobody here has written
            return _program(module, args, kwargs, dynamic_shapes).run_decompositions(decompositions())
    except LoadError:
        raise
    except Exception as error:  # tracing runs the user's code and much of PyTorch, which may raise anything
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        hint = "make it pass first: torch.export.export(module, args, kwargs, dynamic_shapes=..., strict=False)"
        problem = f"expected what torch.export can export, got {type(error).__name__}: {reason[:300]}"
        raise LoadError(CALL, problem, where=_type_name(module), hint=hint) from error


def _program(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], dynamic_shapes: Any) -> ExportedProgram:
    if isinstance(module, ExportedProgram):
        return module
    if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        return _from_script(module, args, kwargs, dynamic_shapes)
    if not isinstance(module, torch.nn.Module):
        if not callable(module):
            problem = f"expected a torch.nn.Module, a function or an ExportedProgram, got {_type_name(module)}"
            raise LoadError(CALL, problem, hint="of weights in a file make a module first: module.load_state_dict(...)")
        module = _module(module)
    return torch.export.export(module, args, dict(kwargs), dynamic_shapes=dynamic_shapes, strict=False)


def _from_script(script: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], dynamic_shapes: Any) -> ExportedProgram:
    """TorchScript: by the converter that PyTorch has for it; what that does not know is run and recorded as a function."""
    module = None
    if isinstance(script, torch.jit.ScriptModule):
        try:
            module = TS2EPConverter(script, args, dict(kwargs) or None).convert().module()
        except Exception:  # an operator or a construct that it lacks
            module = _module(script._c._get_method("forward"))
    module = module or _module(script)
    return torch.export.export(module, args, dict(kwargs), dynamic_shapes=dynamic_shapes, strict=False)


def _module(function: Callable[..., Any]) -> Any:
    """A function as a module; one of PyTorch's own says nothing of its arguments, so it gets any."""
    made = torch.nn.Module()
    made.forward = function if inspect.isfunction(function) else lambda *args, **kwargs: function(*args, **kwargs)
    return made


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def split_inputs(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Example inputs by position and by keyword: a tuple is by position, a mapping by keyword, anything else one input."""
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    return (tuple(example_inputs), {}) if isinstance(example_inputs, Sequence) else ((example_inputs,), {})
