"""Milestones: a real model runs on the parts that a student wrote, and there is a picture of it to keep.

In: the folder in which an assignment was started. Out: `Reached`: what there is to tell, and a picture. The files are run in
this process, as they are the student's own; the answers of the model are compared with the reference, whatever ran.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from minicc import ops
from minicc.compile import build, compile, pipeline
from minicc.course.answers import Submission
from minicc.course.assignments.a6 import programs
from minicc.course.progress import all_started
from minicc.explain.draw_bars import Bar, bars
from minicc.explain.draw_digits import SHOWN, draw_digits
from minicc.explain.page import Pictures
from minicc.explain.picture import Picture
from minicc.frontend import load
from minicc.graph.bind import bind
from minicc.ops.base import Array
from minicc.runtime.function import Function
from minicc.runtime.roofline import measure_peak
from minicc.graph.ir import Constant, Graph, Input, Kernel, Node, constant, input
from minicc.ir.passes import Event
from minicc.types import TensorType, float32
from minicc.testing.oracle import assert_close, compare, reference


@dataclass(frozen=True)
class Reached:
    """What a milestone has to show."""

    lines: tuple[str, ...]
    picture: Picture | Pictures


@dataclass(frozen=True)
class Milestone:
    """What runs once an assignment is solved; `reach(folder)` raises what the student's parts raise."""

    title: str
    reach: Callable[[Path], Reached]


def counting(functions: Mapping[str, Callable[..., Any]], calls: Counter[str]) -> dict[str, Callable[..., Any]]:
    """The functions, each of which counts its calls by its name."""

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return function(*args)

        return call

    return {name: counted(name, function) for name, function in functions.items()}


def digits_on_own_loops(folder: Path) -> Reached:
    """The network of the demo, every split and fuse of whose schedules is the student's."""
    calls: Counter[str] = Counter()
    primitives = counting(Submission(folder).module("primitives.py").PRIMITIVES, calls)
    with resources.as_file(resources.files("minicc.cli") / "digits") as path:
        graph = load(path / "digits.onnx")
        with np.load(path / "heldout.npz", allow_pickle=False) as held:
            images, labels = (held["images"] / np.float32(16)).astype(np.float32), held["labels"]
    made = compile(graph, dims={"batch": len(images)}, primitives=primitives)
    (probability,) = made(images)
    few = bind(graph, {"batch": SHOWN})
    known = reference(few, {"image": images[:SHOWN]})
    compare(few, {"probability": probability[:SHOWN]}, known, "your loops")
    answers = probability.argmax(1)
    used = " and ".join(f"{count} of {name}" for name, count in sorted(calls.items())) or "none"
    lines = (
        f"{len(images)} handwritten digits went through {len(made.kernels)} kernels, whose schedules called your primitives: {used}",
        f"{np.mean(answers == labels):.2%} of the answers are right; {SHOWN} of them were compared with the reference, number by number",
    )
    return Reached(lines, draw_digits(images, labels, answers, probability.max(1)))


def residual_block(channels: int = 32, side: int = 14) -> Graph:
    """A block of a residual network: two convolutions with BatchNormalization, and the sum with what came in.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016.
    """
    random = np.random.default_rng(0)
    x = input("x", TensorType(float32, (1, channels, side, side)))

    def convolved(value: Node) -> Node:
        weights = random.standard_normal((channels, channels, 3, 3)) / np.sqrt(9 * channels)
        scale, variance = random.uniform(0.5, 1.5, (2, channels))
        offset, mean = random.standard_normal((2, channels))
        made: Node = ops.Conv(padding=(1, 1, 1, 1))(value, constant(weights.astype(np.float32)))
        statistics = [constant(v.astype(np.float32)) for v in (scale, offset, mean, variance)]
        normal: Node = ops.BatchNormalization()(made, *statistics)
        return normal

    inner = ops.Relu()(convolved(x))
    return Graph("residual_block", (x,), (ops.Relu()(ops.Add()(convolved(inner), x)),), ("y",))


def block_through_own_passes(folder: Path) -> Reached:
    """A residual block, rewritten by the student's rules where A4 stands beside the folder, grouped by the student's fusion."""
    beside = [s.folder for s in all_started(folder.parent) if s.assignment.name == "a4"]
    graph, seen = residual_block(), dict[str, Graph]()
    rewritten = Submission(beside[0].absolute()).module("rules.py").simplify(graph) if beside else graph

    def watch(event: Event) -> None:
        if event.seconds is not None and event.stage in ("eliminate dead code", "fuse"):
            seen[event.stage] = event.ir

    own = {"fuse": Submission(folder).module("fusion.py").fuse}
    others = ["choose layouts", *(("simplify", "absorb views", "simplify views") if beside else ())]
    made = compile(rewritten, passes=pipeline(without=others, replace=own), observe=watch, threads=1)
    x = np.random.default_rng(1).standard_normal(graph.inputs[0].type.shape, np.float32)
    compare(graph, made.run({"x": x}), reference(graph, {"x": x}), "your passes")
    kernels = [(n, n.op) for n in seen["fuse"].nodes if isinstance(n.op, Kernel)]
    before = _operators(seen["eliminate dead code"])
    apart, together = (sum(n.type.bytes for n in nodes) for nodes in (before, [n for n, _ in kernels]))
    rules = f"your rules in {beside[0]}" if beside else "minicc's rules, as a4 was not started beside this folder"
    left = sum(isinstance(n.op, ops.BatchNormalization) for n in before)
    lines = (
        f"{len(_operators(graph))} operators, 2 of them BatchNormalization; {left} of these after {rules}",
        f"{len(kernels)} kernels by your fusion: {', '.join(kernel.label for _, kernel in kernels)}",
        f"they write {together:,} bytes; one operator after the other would write {apart:,}",
    )
    return Reached(lines, seen["fuse"].picture())


def _operators(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if not isinstance(n.op, (Constant, Input))]


TOKENS, WIDTH, HEADS, INNER = (
    128,
    256,
    4,
    1024,
)  # of a layer: tokens, numbers of each, heads, numbers of the hidden layer
REPEATS = 9


class OwnKernels:
    """The matrix product and the softmax as functions, of the sizes at hand, by the traces of a folder; each call is timed."""

    def __init__(self, folder: Path) -> None:
        self.texts = {name: (folder / f"{name}.trace").read_text(encoding="utf-8") for name in ("matmul", "softmax")}
        self.made: dict[tuple[str, tuple[int, ...]], Function] = {}
        self.seconds: dict[str, list[float]] = {}

    def matmul(self, part: str, a: Array, b: Array) -> Array:
        """`a @ b`."""
        return self._run("matmul", part, (len(a), b.shape[1], len(b)), np.empty((len(a), b.shape[1]), np.float32), a, b)

    def softmax(self, part: str, a: Array) -> Array:
        """The softmax of each row."""
        return self._run("softmax", part, a.shape, np.empty(a.shape, np.float32), a)

    def _run(self, name: str, part: str, sizes: tuple[int, ...], out: Array, *arrays: Array) -> Array:
        if (name, sizes) not in self.made:
            self.made[name, sizes] = build(programs.scheduled(name, self.texts[name], sizes), target=programs.target())
        given = [np.ascontiguousarray(a, np.float32) for a in arrays]
        started = time.perf_counter()
        self.made[name, sizes](*given, out)
        self.seconds.setdefault(part, []).append(time.perf_counter() - started)
        return out


Products = Callable[[str, Array, Array], Array]


def layer(x: Array, weights: Mapping[str, Array], matmul: Products, softmax: Callable[[str, Array], Array]) -> Array:
    """A layer of a transformer: attention of several heads, then two products with a Gelu between. `x` is [tokens, width].

    Source: Vaswani et al., "Attention Is All You Need", 2017; norms come first, as in GPT-2.
    """
    h = _norm(x)
    q, k, v = (matmul("queries, keys, values", h, weights[name]) for name in "qkv")
    heads = [slice(n * x.shape[1] // HEADS, (n + 1) * x.shape[1] // HEADS) for n in range(HEADS)]
    scores = [matmul("scores", q[:, s], k[:, s].T) / math.sqrt(x.shape[1] / HEADS) for s in heads]
    shares = [softmax("softmax", s) for s in scores]
    mixed = [matmul("mixed values", p, v[:, s]) for p, s in zip(shares, heads, strict=True)]
    x = x + matmul("attention out", np.concatenate(mixed, 1), weights["out"])
    hidden = matmul("hidden", _norm(x), weights["up"])
    gelu = hidden / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)))
    out: Array = x + matmul("hidden out", gelu, weights["down"])
    return out


def _norm(x: Array) -> Array:
    centred: Array = x - x.mean(1, keepdims=True)
    scaled: Array = centred / np.sqrt(np.square(centred).mean(1, keepdims=True) + 1e-5)
    return scaled


def layer_at_a_share_of_the_peak(folder: Path) -> Reached:
    """A layer of a transformer, all products and the softmax of which run as the student's traces have it, on one core."""
    random = np.random.default_rng(0)
    shapes = dict.fromkeys(("q", "k", "v", "out"), (WIDTH, WIDTH)) | {"up": (WIDTH, INNER), "down": (INNER, WIDTH)}
    weights = {name: random.standard_normal(s) / np.sqrt(s[0]) for name, s in shapes.items()}
    x = random.standard_normal((TOKENS, WIDTH))
    own, flops = OwnKernels(folder), Counter[str]()

    def counted(part: str, a: Array, b: Array) -> Array:
        flops[part] += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        return a @ b

    expected = layer(x, weights, counted, lambda part, a: programs.right_softmax(a))
    narrow = {name: w.astype(np.float32) for name, w in weights.items()}
    for _ in range(REPEATS):
        got = layer(x.astype(np.float32), narrow, own.matmul, own.softmax)
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    assert_close(got, expected.astype(np.float32), reduction=INNER, label="the layer on your traces")
    peak = measure_peak(programs.target())
    taken = {part: statistics.median(np.reshape(s, (REPEATS, -1)).sum(1)) for part, s in own.seconds.items()}
    rows = [Bar(part, flops[part] / t / peak, f"{flops[part] / t / 1e9:.1f} GFLOP/s, {flops[part] / t / peak:.0%}")
            for part, t in taken.items() if part in flops]  # fmt: skip
    all_products = sum(taken[part] for part in flops)
    share = sum(flops.values()) / all_products / peak
    lines = (
        f"a layer of {TOKENS} tokens, {WIDTH} numbers each: {sum(flops.values()) / 1e6:.0f} million operations in products, right to {error:.1e}",
        f"your products take {all_products * 1e3:.2f} ms on one core, {share:.0%} of its peak of {peak / 1e9:.0f} GFLOP/s; your softmax {taken['softmax'] * 1e3:.2f} ms",
    )
    return Reached(lines, bars(f"A transformer layer on your traces: {share:.0%} of the peak", rows))


MILESTONES = {
    "a3": Milestone("the digits network on your own loops", digits_on_own_loops),
    "a5": Milestone("a residual block through your own rules and fusion", block_through_own_passes),
    "a6": Milestone("a layer of a transformer at a share of the peak", layer_at_a_share_of_the_peak),
}
