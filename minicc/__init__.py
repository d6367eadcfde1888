"""minicc: a tensor compiler to learn from.

>>> import minicc
>>> exe = minicc.compile("model.onnx", input_shapes={"x": (1, 3, 224, 224)})  # doctest: +SKIP
>>> y, = exe(x)  # doctest: +SKIP

`python -m minicc` leaves the current folder out of `sys.path`, as the program `minicc` does: a `random.py` there is
not Python's. Of a few modules, such as `types`, Python itself needs the true one before: `python -P -m minicc`.
"""

import sys

if (
    sys.argv[:1] == ["-m"]
    and not sys.flags.safe_path
    and sys.orig_argv[sys.orig_argv.index("-m") + 1 :][0].split(".")[0] == "minicc"
):
    del sys.path[0]  # `python -m` put the current folder there; what it runs is found by the path of this package

from minicc import te as te
from minicc.kernels.generators import GENERATORS, Generator
from minicc.compile import build as build
from minicc.compile import compile as compile
from minicc.compile import lower as lower
from minicc.errors import MiniccError as MiniccError
from minicc.frontend import from_torch as from_torch
from minicc.frontend import load as load
from minicc.graph.ir import Graph as Graph
from minicc.ir.drawn import DRAWERS
from minicc.package import load_package as load_package
from minicc.runtime.executable import LOADERS
from minicc.runtime.executable import Executable as Executable
from minicc.runtime.function import Function as Function
from minicc.target import Target as Target

GENERATORS["cuda"] = GENERATORS["emulated"] = Generator(
    model="minicc.bridge.function:cuda_model", function="minicc.bridge.function:CudaFunction"
)  # by the kinds of targets; these and what loads their images are imported when first asked for
LOADERS["cuda"] = LOADERS["emulated"] = "minicc.device:load"  # by kind of image, imported when first asked for
DRAWERS |= {
    "ArenaPlan": "minicc.explain.draw_memory:draw",
    "Executable": "minicc.explain.draw_executable:draw",
    "FusionComparison": "minicc.explain.draw_fusion:draw_fusion",
    "Graph": "minicc.explain.draw_graph:draw_graph",
    "Profile": "minicc.explain.draw_profile:pictures",
    "Program": "minicc.explain.draw_program:draw_program",
    "Roofline": "minicc.explain.draw_roofline:draw",
    "Schedule": "minicc.explain.draw_schedule:draw_schedule",
    "TeSchedule": "minicc.explain.draw_schedule:draw_te_schedule",
    "Tensor": "minicc.explain.draw_tensor:draw_tensor",
    "Trace": "minicc.explain.draw_schedule:draw_trace",
}  # by the name of a class: what draws it

__all__ = [
    "Executable",
    "Function",
    "Graph",
    "MiniccError",
    "Target",
    "build",
    "compile",
    "from_torch",
    "load",
    "load_package",
    "lower",
    "te",
]
