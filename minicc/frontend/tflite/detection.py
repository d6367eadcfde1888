"""What is behind a detector of boxes: decoding, and the suppression of boxes that are one thing.

The greedy form of suppression takes the surest box, drops those that overlap it, and begins again, at most as often as
there are results. So it is unrolled here: each step is an ArgMax and an elementwise kernel, and shapes stay static.
Results that are not there are 0.

The meaning: `detection_postprocess.cc` and `non_max_suppression.h` of TensorFlow Lite; anchors by SSD (Liu et al. 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minicc import ops
from minicc.frontend.tflite.call import Meaning, Result, TfliteCall
from minicc.graph.ir import Node
from minicc.types import DType, float32, int32

MOST = 1000  # boxes that are looked for
NOTHING = -3.0e38  # the score of a box that is out


class Greedy(NamedTuple):
    """Positions and scores [groups, steps] of what was chosen; a score of NOTHING is of none."""

    positions: Node
    scores: Node


def chosen(call: TfliteCall, boxes: Node, scores: Node, steps: int, overlap: float, least: float) -> Greedy:
    """The best of `boxes[n, 4]` (two corners) by `scores[groups, n]`, each group for itself."""
    count = call.extent(scores, 1)
    if not 0 < steps <= MOST or not count:
        raise call.error(f"expected 1 to {MOST} results of 1 box and more, got {steps} of {count}")
    low, high = ([_column(call, boxes, k) for k in ks] for ks in ((0, 1), (2, 3)))
    area = _area(call, low, high)
    out, places = call.constant(NOTHING), call.constant(np.arange(count), "int64")
    scores = call(ops.Where, call(ops.GreaterOrEqual, scores, call.constant(least)), scores, out)
    positions, tops = [], []
    for _ in range(steps):
        best = call(ops.ArgMax, scores, axis=1, keepdims=True)
        tops.append(call(ops.ReduceMax, scores, axes=(1,), keepdims=True))
        positions.append(best)
        own = [[call(ops.Gather, side, best) for side in sides] for sides in (low, high)]
        begin, end = (
            [call(ops.Max, a, b) for a, b in zip(low, own[0], strict=True)],
            [call(ops.Min, a, b) for a, b in zip(high, own[1], strict=True)],
        )
        both, mine = _area(call, begin, end), call(ops.Gather, area, best)
        union = call(ops.Sub, call(ops.Add, area, mine), both)
        same = call(ops.Greater, both, call(ops.Mul, union, call.constant(overlap)))
        dropped = call(ops.Or, same, call(ops.Equal, places, best))
        scores = call(ops.Where, dropped, out, scores)
    return Greedy(call(ops.Concat, *positions, axis=1), call(ops.Concat, *tops, axis=1))


def _column(call: TfliteCall, x: Node, k: int) -> Node:
    """Column k of a matrix."""
    return call(ops.Gather, x, call.constant(k, "int64"), axis=1)


def _area(call: TfliteCall, low: list[Node], high: list[Node]) -> Node:
    zero = call.constant(0.0)
    sides = [call(ops.Max, call(ops.Sub, b, a), zero) for a, b in zip(low, high, strict=True)]
    return call(ops.Mul, *sides)


def decoded(call: TfliteCall, options: Mapping[str, Any]) -> Node:
    """Corners [n, 4] (top, left, bottom, right) of offsets to anchors, both as centre y and x, height and width."""
    offsets, anchors = call(ops.Reshape, call[0], shape=(-1, 4)), call[2]
    ends: list[Node] = []
    for axis, (place, size) in enumerate((("y_scale", "h_scale"), ("x_scale", "w_scale"))):
        extent = _column(call, anchors, axis + 2)
        shift = call(ops.Div, _column(call, offsets, axis), call.constant(options[place]))
        centre = call(ops.Add, call(ops.Mul, shift, extent), _column(call, anchors, axis))
        grown = call(ops.Exp, call(ops.Div, _column(call, offsets, axis + 2), call.constant(options[size])))
        half = call(ops.Mul, call(ops.Mul, grown, extent), call.constant(0.5))
        ends += [call(ops.Sub, centre, half), call(ops.Add, centre, half)]
    columns = [call(ops.Unsqueeze, ends[k], axes=(1,)) for k in (0, 2, 1, 3)]
    return call(ops.Concat, *columns, axis=1)


def detection_postprocess(call: TfliteCall) -> Result:
    """Inputs are offsets [1, n, 4], scores [1, n, classes] (a background first, if there is one more), anchors [n, 4].

    Results: boxes [1, m, 4], classes [1, m], scores [1, m], and how many there are. Either the boxes of all classes suppress
    one another, by the best score of each, or the classes are apart (`use_regular_nms`).
    """
    options = _options(call)
    total, most, classes = call.extent(call.stored(1), 2), int(options["max_detections"]), int(options["num_classes"])
    if call.extent(call.stored(0), 0) != 1 or not 0 < classes <= total:
        raise call.error(f"expected one picture, and scores of {classes} classes, got {call.type_of(call.stored(1))}")
    boxes = decoded(call, options)
    scores = call(ops.Reshape, call[1], shape=(-1, total))
    scores = call(ops.Slice, scores, starts=(total - classes,), ends=(total,), axes=(1,))
    limits = float(options["nms_iou_threshold"]), float(options["nms_score_threshold"])
    several = 1 if options["use_regular_nms"] else min(int(options["max_classes_per_detection"]), classes)
    if options["use_regular_nms"]:
        each = min(int(options["detections_per_class"]), most)
        found = chosen(call, boxes, call(ops.Transpose, scores, perm=(1, 0)), each, *limits)
        kept = min(most, classes * each)
        flat = [call(ops.Reshape, part, shape=(-1,)) for part in found]
        at = call(ops.TopKIndices, flat[1], k=kept)
        positions, tops = call(ops.Gather, flat[0], at), call(ops.TopK, flat[1], k=kept)
        number = call(ops.Div, at, call.constant(each, "int64"))
    else:
        best = call(ops.TopK, scores, k=several) if several > 1 else call(ops.ReduceMax, scores, axes=(1,))
        which = call(ops.TopKIndices, scores, k=several) if several > 1 else call(ops.ArgMax, scores, axis=1)
        first = call(ops.Slice, best, starts=(0,), ends=(1,), axes=(1,))
        found = chosen(call, boxes, call(ops.Transpose, first, perm=(1, 0)), most, *limits)
        at = call(ops.Reshape, found.positions, shape=(-1,))
        there = call(ops.Expand, call(ops.Reshape, found.scores, shape=(-1, 1)), shape=(most, several))
        tops = call(ops.Where, call(ops.Greater, there, call.constant(NOTHING)), call(ops.Gather, best, at), there)
        tops = call(ops.Reshape, tops, shape=(-1,))
        number = call(ops.Reshape, call(ops.Gather, which, at), shape=(-1,))
        positions = call(ops.Gather, at, call.constant(np.arange(most * several) // several, "int64"))
        kept = most = most * several
    return _results(call, boxes, positions, number, tops, (kept, most), several)


def _results(
    call: TfliteCall, boxes: Node, positions: Node, number: Node, tops: Node, counts: tuple[int, int], several: int
) -> Result:
    """The four results of what was chosen, `several` rows for a box: zeros where nothing was."""
    there, zero = call(ops.Greater, tops, call.constant(NOTHING)), call.constant(0.0)
    rows = call(ops.Where, call(ops.Unsqueeze, there, axes=(1,)), call(ops.Gather, boxes, positions), zero)
    parts = [rows, *[call(ops.Where, there, call(ops.Cast, v, dtype=float32), zero) for v in (number, tops)]]
    lacking = counts[1] - counts[0]
    widths = [(0, 0, lacking, 0), (0, lacking), (0, lacking)]
    padded = [call(ops.Pad, p, pads=w) if lacking else p for p, w in zip(parts, widths, strict=True)]
    total = call(ops.ReduceSum, call(ops.Cast, there, dtype=float32), axes=(0,), keepdims=True)
    count = call(ops.Div, total, call.constant(several))
    return [*(call(ops.Unsqueeze, part, axes=(0,)) for part in padded), count]


_DEFAULTS = {"detections_per_class": 100, "use_regular_nms": False}
_NEEDED = ("max_detections", "max_classes_per_detection", "num_classes", "nms_score_threshold", "nms_iou_threshold",
           "y_scale", "x_scale", "h_scale", "w_scale")  # fmt: skip


def _options(call: TfliteCall) -> dict[str, Any]:
    """The options of a custom operator, which are a flexbuffer."""
    from flatbuffers import flexbuffers

    content = call.file.array(call.table, "CustomOptions", 1).tobytes()
    try:
        held = flexbuffers.GetRoot(bytearray(content)).AsMap
        found = {name: _number(held[name]) for name in (*_NEEDED, *_DEFAULTS) if name in {k.AsKey for k in held.Keys}}
    except Exception as error:  # offsets that lead out of the buffer
        raise call.error(f"expected a flexbuffer of options, got {type(error).__name__}: {error}") from error
    if lacking := [name for name in _NEEDED if name not in found]:
        raise call.error(f"expected options {', '.join(_NEEDED)}, got none of {', '.join(lacking)}")
    if not all(found[name] > 0 for name in _NEEDED[5:]):
        raise call.error("expected scales that are positive, got others")
    return _DEFAULTS | found


def _number(held: Any) -> Any:
    if held.IsBool:
        return bool(held.AsBool)
    return int(held.AsInt) if held.IsInt else float(held.AsFloat)


def non_max_suppression(call: TfliteCall) -> Result:
    """Positions of boxes [n, 4], the surest first, and how many there are; in the later form their scores, too."""
    soft = call.kind.endswith("V5")
    if soft and ((sigma := call.known(5)) is None or sigma.any()):
        raise call.error("expected a sigma of 0: scores that fade are not supported")
    least, most = (call.known(k) for k in (4, 3))
    if least is None or most is None:
        raise call.error("expected thresholds that are constants")
    steps = call.numbers(2, 1)[0]
    scores = call(ops.Unsqueeze, call[1], axes=(0,))
    found = chosen(call, _ordered(call), scores, steps, float(most.reshape(())), float(least.reshape(())))
    tops = call(ops.Reshape, found.scores, shape=(-1,))
    there = call(ops.Greater, tops, call.constant(NOTHING))
    positions = call(ops.Cast, call(ops.Reshape, found.positions, shape=(-1,)), dtype=int32)
    positions = call(ops.Where, there, positions, call.constant(0, "int32"))
    count = call(ops.ReduceSum, call(ops.Cast, there, dtype=DType.of("int32")), axes=(0,), keepdims=False)
    kept = [call(ops.Where, there, tops, call.constant(0.0))] if soft else []
    return [positions, *kept, count]


def _ordered(call: TfliteCall) -> Node:
    """The boxes with the lesser corner first."""
    boxes = call[0]
    halves = [call(ops.Slice, boxes, starts=(k,), ends=(k + 2,), axes=(1,)) for k in (0, 2)]
    return call(ops.Concat, call(ops.Min, *halves), call(ops.Max, *halves), axis=1)


DETECTION: dict[str, Meaning] = {
    "NON_MAX_SUPPRESSION_V4": Meaning(non_max_suppression),
    "NON_MAX_SUPPRESSION_V5": Meaning(non_max_suppression),
    "TFLite_Detection_PostProcess": Meaning(detection_postprocess),
}
