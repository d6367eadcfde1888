"""The compilers that run in a worker's child beside the whole of minicc: today's TVM by Relax, and minicc itself.

In: the text of a graph, with its constants as arrays. Out: what runs it. `minicc.testing.worker` asks for them by name.

    jobs = pkgutil.resolve_name("minicc.testing.engines:relax")
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import minicc
from minicc.bridge.frames import Arrays
from minicc.bridge.inside.jobs import Jobs, Run
from minicc.bridge.relax import build_relax, call_relax, merge, to_relax
from minicc.graph.ir import Graph
from minicc.graph.text import parse


def lower_to_relax(text: str, constants: Arrays) -> tuple[Graph, Any]:
    """A graph, and it as a module of Relax."""
    graph = parse(text, dict(constants))
    return graph, to_relax(graph)


def build_all(lowered: list[tuple[Graph, Any]], fast: bool = False) -> list[Run]:
    """What runs each of the graphs: one machine for all."""
    machine = build_relax(merge([module for _, module in lowered]), fast)
    return [functools.partial(call_relax, machine, k, graph) for k, (graph, _) in enumerate(lowered)]


def lower_to_machine_code(text: str, constants: Arrays) -> Any:
    return minicc.compile(parse(text, dict(constants)))


def run_all(executables: list[Any]) -> list[Run]:
    return [functools.partial(_run, executable) for executable in executables]


def _run(executable: Any, arrays: Arrays) -> Arrays:
    return {name: np.asarray(array) for name, array in executable.run(dict(arrays)).items()}


relax = Jobs(lower_to_relax, build_all)
fast_relax = Jobs(lower_to_relax, functools.partial(build_all, fast=True))
machine_code = Jobs(lower_to_machine_code, run_all)
