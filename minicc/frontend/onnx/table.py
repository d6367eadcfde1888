"""All translations of ONNX operators: of an operator of `ops` as it stands, or by a function that says what else it means.

>>> sorted(set(translations()) & {"Relu", "Upsample", "Bernoulli", "com.microsoft::FastGelu"})
['Relu', 'Upsample', 'com.microsoft::FastGelu']
"""

from __future__ import annotations

import operator
from functools import partial, reduce

from onnx import defs

from minicc.frontend.onnx import control, losses, microsoft, ops, quantized, signal
from minicc.frontend.onnx.call import OnnxCall, Translation
from minicc.ops.base import INTERPRETED, REGISTRY


def translations() -> dict[str, Translation]:
    """How each ONNX operator that is supported is translated, by its name, or DOMAIN::NAME. Any that is registered counts."""
    named = {name: op for own, op in (REGISTRY | INTERPRETED).items() for name in op.onnx_names or (own,)}
    known = {name: op for name, op in named.items() if "::" in name or defs.has(name)}
    direct: dict[str, Translation] = {name: partial(OnnxCall.results, operator=op) for name, op in known.items()}
    tables = [module.TRANSLATIONS for module in (ops, quantized, microsoft, signal, losses, control)]
    return reduce(operator.or_, tables, direct)
