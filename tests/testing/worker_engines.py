"""Judges that fail on purpose, for the tests of the worker; an input's name says how."""

import functools
import os
import signal
import sys
import time

from minicc.errors import BridgeError
from minicc.graph.interpret import evaluate


class Faulty:
    """The reference, except that a graph with an input `KIND_STAGE` fails in that way: `crash_compile`, `hang_run`, ..."""

    def lower(self, graph):
        fail(graph, "lower")
        return graph

    def compile(self, lowered):
        for graph in lowered:
            fail(graph, "compile")
        return [functools.partial(run) for _ in lowered]


class Deaf(Faulty):
    """Never reads what it is sent."""

    def __init__(self):
        self.requests = os.dup(0)  # open, and never read
        os.dup2(os.pipe()[0], 0)


def run(graph, inputs):
    fail(graph, "run")
    return {**evaluate(graph, inputs), "process": os.getpid()}


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
