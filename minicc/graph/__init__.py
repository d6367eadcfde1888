"""Room 1, the graph: what to compute. `ir` defines it; each pass is a file named by its verb.

In: the calls of a frontend. Out: a graph of kernels, each to be lowered by itself.

>>> from minicc.ops import Relu
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2,)))
>>> graph = Graph("main", (x,), (Relu()(x),), ("y",))
>>> parse(str(graph)).same_as(graph)
True
>>> evaluate(fuse(graph), {"x": [float32.numpy.type(-1), float32.numpy.type(2)]})
{'y': array([0., 2.], dtype=float32)}
"""

from minicc.graph.bind import bind as bind
from minicc.graph.bind import runtime_operands as runtime_operands
from minicc.graph.eliminate_dead_code import eliminate_dead_code as eliminate_dead_code
from minicc.graph.interpret import evaluate as evaluate
from minicc.graph.expand_composites import expand_composites as expand_composites
from minicc.graph.fold_constants import fold_constants as fold_constants
from minicc.graph.fuse import fuse as fuse
from minicc.graph.ir import Graph as Graph
from minicc.graph.ir import Kernel as Kernel
from minicc.graph.ir import Node as Node
from minicc.graph.ir import Span as Span
from minicc.graph.ir import constant as constant
from minicc.graph.ir import input as input
from minicc.graph.ir import make as make
from minicc.graph.merge_common_subexpressions import merge_common_subexpressions as merge_common_subexpressions
from minicc.graph.simplify_graph import simplify_graph as simplify_graph
from minicc.graph.text import parse as parse
from minicc.graph.transform import transform as transform
from minicc.graph.verify import verify as verify
