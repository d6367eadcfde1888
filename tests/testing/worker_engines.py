"""Judges that fail on purpose, for the tests of the worker; an input's name says how."""

import functools
import os
import signal
import sys
import time

import numpy as np

from minicc.bridge.inside.jobs import Jobs
from minicc.errors import BridgeError
from minicc.graph.interpret import evaluate
from minicc.graph.text import parse


def lower(text, constants):
    graph = parse(text, dict(constants))
    fail(graph, "lower")
    return graph


def compile_all(graphs):
    for graph in graphs:
        fail(graph, "compile")
    return [functools.partial(run, graph) for graph in graphs]


def run(graph, inputs):
    fail(graph, "run")
    return {**evaluate(graph, inputs), "process": np.array(os.getpid())}


def fail(graph, stage):
    for name in graph.input_names:
        how, _, where = name.partition("_")
        if where != stage:
            continue
        print("about to", how, file=sys.stderr, flush=True)
        match how:
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "divide":
                os.kill(os.getpid(), signal.SIGFPE)
            case "exit":
                os._exit(3)
            case "hang":
                time.sleep(100)
            case "raise":
                raise ValueError("a fault")
            case "refuse":
                raise BridgeError("relax(Op)", "expected an operator that TVM has, got one it has not: for the test")


faulty = Jobs(
    lower, compile_all
)  # the reference, except that an input `KIND_STAGE` fails in that way: `crash_compile`, `hang_run`, ...
