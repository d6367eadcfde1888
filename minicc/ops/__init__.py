"""The operators: every one that a module of this package, or another, registers; each family has a file.

They are found, not listed: importing the package imports its modules. `__init__.pyi` tells editors and
mypy the names; `python tests/ops/test_found.py --regenerate` writes it.

>>> from minicc.ops import Relu
>>> import numpy as np
>>> Relu()(np.array([-1.0, 2.0]))
array([0., 2.])
"""

from importlib import import_module
from pkgutil import iter_modules

from minicc.ops.base import INTERPRETED, REGISTRY, Operator

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def __getattr__(name: str) -> type[Operator]:
    if (found := REGISTRY.get(name) or INTERPRETED.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *REGISTRY, *INTERPRETED])
