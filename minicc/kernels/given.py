"""What a caller of `compile` knows of schedules: traces to replay, or choices for recipes, by kernels or their labels.

In: the kernels of a model, and a table. Out: what is known of each. Kernels that the model does not have are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minicc.errors import ConfigError, nearest
from minicc.graph.ir import Kernel
from minicc.ir.node import replace
from minicc.schedule import Trace

Schedules = Mapping[Kernel | str, Trace | Mapping[str, int]]  # of kernels, or of all that have a label


def schedules_of(kernels: Sequence[Kernel], schedules: Schedules) -> dict[Kernel, Trace | Mapping[str, int]]:
    """What is known of the schedule of each kernel. Raises ConfigError for a label that none has."""
    labels = [kernel.label for kernel in kernels]
    for label in (key for key in schedules if isinstance(key, str) and key not in labels):
        call, problem = f"compile(schedules={{{label!r}: ...}})", f"expected the label of a kernel, got {label!r}"
        hint = f"did you mean {near!r}?" if (near := nearest(label, labels)) else "--stage fused shows the kernels"
        raise ConfigError(call, problem, where=f"kernels: {', '.join(dict.fromkeys(labels))}", hint=hint)
    known = {k: schedules.get(replace(k, within=()), schedules.get(k.label)) for k in kernels}
    return {kernel: found for kernel, found in known.items() if found is not None}
