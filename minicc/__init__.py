"""minicc: a tensor compiler to learn from.

>>> import minicc
>>> exe = minicc.compile("model.onnx", input_shapes={"x": (1, 3, 224, 224)})  # doctest: +SKIP
>>> y, = exe(x)  # doctest: +SKIP
"""

from minicc.compile import compile as compile
from minicc.errors import MiniccError as MiniccError
from minicc.frontend import load as load
from minicc.graph.ir import Graph as Graph
from minicc.runtime.executable import Executable as Executable
from minicc.target import Target as Target

__all__ = ["Executable", "Graph", "MiniccError", "Target", "compile", "load"]
