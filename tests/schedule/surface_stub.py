"""What editors and mypy know of the primitives: `python tests/schedule/surface_stub.py` writes minicc/schedule/surface.pyi."""

import re
import subprocess
import sys
from inspect import Parameter, signature
from pathlib import Path

from minicc.schedule import STEPS, surface

PATH = Path(surface.__file__).with_suffix(".pyi")
HEAD = '''"""Written by tests/schedule/surface_stub.py: the methods that surface.py makes of the records of steps."""

from collections.abc import Sequence
from inspect import Parameter
from typing import Any

from minicc.loop.ir import Scope
from minicc.schedule.arguments import Face
from minicc.schedule.bind import ThreadAxis
from minicc.schedule.split import Tail
from minicc.schedule.step import Step
from minicc.schedule.te_schedule import Stage
from minicc.schedule.tensor_intrinsic import TensorIntrinsic

def parameters(kind: type[Step]) -> list[Parameter]: ...
def stage_parameters(kind: type[Step]) -> list[Parameter]: ...
'''


def parameter(p):
    inner = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", p.annotation)
    if p.kind is Parameter.VAR_POSITIONAL:
        return f"*{p.name}: {inner[1] if inner else p.annotation}"
    kind = f"Sequence[{inner[1]}]" if inner else p.annotation
    default = "" if p.default is p.empty else f" = {p.default!r}"
    return f"{p.name}: {kind}{default}"


def method(kind, parameters, buffer):
    results = [signature(hook).return_annotation for hook in (kind.result, kind.names)]
    found = next((result for result in results if result != "Any"), "Any").replace("NewBuffer", buffer)
    listed = ", ".join(["self", *map(parameter, parameters(kind))])
    return f'    def {kind.name}({listed}) -> {"None" if found == "Any" else found}:\n        """{kind.__doc__}"""\n'


def stub():
    """The text of the stub, as the formatter leaves it."""
    text = HEAD
    for face, parameters, buffer in (
        (surface.LoopSurface, surface.parameters, "str"),
        (surface.StageSurface, surface.stage_parameters, "Stage"),
    ):
        text += f'\nclass {face.__name__}(Face):\n    """{face.__doc__}"""\n\n'
        text += "".join(method(kind, parameters, buffer) for kind in STEPS.values())
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PATH), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
