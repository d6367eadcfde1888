"""minicc: a tensor compiler to learn from.

>>> import minicc
>>> exe = minicc.compile("model.onnx", input_shapes={"x": (1, 3, 224, 224)})  # doctest: +SKIP
>>> y, = exe(x)  # doctest: +SKIP
"""

from minicc import te as te  # isort: skip - first: its face imports rooms above it
from minicc.compile import build as build
from minicc.compile import compile as compile
from minicc.compile import lower as lower
from minicc.errors import MiniccError as MiniccError
from minicc.frontend import load as load
from minicc.graph.ir import Graph as Graph
from minicc.runtime.executable import Executable as Executable
from minicc.runtime.function import Function as Function
from minicc.target import Target as Target

__all__ = ["Executable", "Function", "Graph", "MiniccError", "Target", "build", "compile", "load", "lower", "te"]
