"""Gates of channels into the weights of the 1x1 convolution that reads them, where these are the smaller.

Squeeze and excitation multiplies every point of an image by one number per channel, and a pointwise convolution mixes
the channels then: an image is read and written only to be scaled. The convolution is linear, so its weights can be
scaled instead, at each call, which moves fewer bytes where a result has more points than twice its channels.

In: a bound graph. Out: `Conv(x * s, w)` as `Conv(x, w * s)`. The products are rounded as before, but of other factors;
`exact` leaves all as it is.

Needs: bound types. Ensures: the same values, but for that rounding.

>>> import numpy as np
>>> from minicc.graph.ir import Graph, input
>>> from minicc.types import TensorType, float32
>>> x, s = (input(name, TensorType(float32, (1, 8, size, size))) for name, size in (("x", 9), ("s", 1)))
>>> graph = Graph("main", (x, s), (Conv()(Mul()(x, s), np.ones((4, 8, 1, 1), np.float32)),), ("y",))
>>> [n.op.name for n in gate_weights(graph).nodes]
['Input', 'Input', 'Constant', 'Mul', 'Conv']
"""

from __future__ import annotations

from functools import partial

from minicc.graph.ir import Constant, Graph, Node
from minicc.graph.transform import same, transform
from minicc.ops import Conv, Mul


def gate_weights(graph: Graph, exact: bool = False) -> Graph:
    """The graph with gates in the weights; the same graph when there are none."""
    if exact:
        return graph
    alone = {n for n, readers in graph.users().items() if len(readers) == 1 and n not in graph.outputs}
    return transform(graph, partial(_gated, alone))


def _gated(alone: set[Node], n: Node, inputs: tuple[Node, ...]) -> Node:
    made = same(n, inputs)
    if (
        not isinstance(n.op, Conv)
        or not isinstance(n.inputs[0].op, Mul)
        or n.inputs[0] not in alone
        or n.inferred is None
    ):
        return made
    x, w = inputs
    channels, points = x.shape[1], n.type.size // n.shape[1]
    pointwise = n.op.groups == 1 and set(w.shape[2:]) == {1} and isinstance(w.op, Constant)
    if not pointwise or n.shape[0] != 1 or points < 2 * n.shape[1] or not isinstance(x.op, Mul):
        return made
    gate = (1, channels, *(1,) * (x.type.rank - 2))
    for s, image in (x.inputs, x.inputs[::-1]):
        if s.shape == gate and image.shape == x.shape:
            result: Node = n.op(image, Mul()(w, s))
            return result
    return made
