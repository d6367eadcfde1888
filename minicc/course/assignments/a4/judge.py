"""The judge of A4: of each pair of graphs the rule must shorten the one, and keep its value; and it must leave the other as it is worth.

Values are compared bit by bit, on NaN, infinities and both zeros; what a BatchNormalization rounds, closely.
"""

from collections import Counter
from functools import partial
from itertools import permutations

import numpy as np

from minicc import ops
from minicc.course.judging import Unequal, equal, judged
from minicc.graph import Graph, evaluate, input
from minicc.types import DType, TensorType

FILE = "rules.py"
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0)
CASES, MOST_ELEMENTS = 6, 1 << 14


# ---- what is right


def keeps(answers, rule, cases):
    """Raise Unequal unless each graph has no operators but these afterwards, and computes the same. A case is a graph, what may
    be left, and how close values must be."""
    for graph, left, close in cases:
        made = answers.call(FILE, "apply", rule, graph)
        if not isinstance(made, Graph):
            raise Unequal(f"expected a graph, got {type(made).__name__}")
        equal((made.input_names, made.output_names), (graph.input_names, graph.output_names))
        equal([str(n.type) for n in made.outputs], [str(n.type) for n in graph.outputs])
        if more := Counter(names(made)) - Counter(left):
            wanted = f"expected {', '.join(left) or 'no operator'} to be left of {graph}"
            raise Unequal(
                f"{wanted}, got it as it was"
                if str(made) == str(graph)
                else f"{wanted}, got {', '.join(more)} more: {made}"
            )
        if any(n.inferred is None or not n.inferred.is_bound or n.type.size > MOST_ELEMENTS for n in made.nodes):
            raise Unequal(f"expected values of at most {MOST_ELEMENTS:,} elements: {made}")
        for arrays in data(graph):
            for right, got in zip(evaluate(graph, arrays).values(), evaluate(made, arrays).values(), strict=True):
                same(got, right, close, graph)


def names(graph):
    return [n.op.name for n in graph.nodes if n.op.name not in ("Input", "Constant")]


def same(got, right, close, graph):
    if close:
        good = np.isclose(got, right, close, close, equal_nan=True)
    else:
        bits = f"V{right.dtype.itemsize}"
        good = np.frombuffer(got.tobytes(), bits) == np.frombuffer(right.tobytes(), bits)
        good = good.reshape(right.shape) | (np.isnan(got) & np.isnan(right) if right.dtype.kind == "f" else False)
    for place in np.argwhere(~good)[:1]:
        at = tuple(map(int, place))
        raise Unequal(f"expected {right[at]} at {list(at)}, got {got[at]}, of {graph}")


def data(graph):
    """Arrays for the inputs: moderate numbers, and of floats in between the special ones; then nothing but -0.0, wherever it matters."""
    arrays, random = {}, np.random.default_rng(5)
    for n, name in zip(graph.inputs, graph.input_names, strict=True):
        array = np.asarray(random.integers(-40, 41, n.shape) / 8).astype(n.dtype.numpy)
        if array.dtype.kind == "f" and "Conv" not in names(graph):
            array.flat[::2] = [SPECIAL[k % 5] for k in range(len(array.flat[::2]))]
        arrays[name] = array
    return arrays, {name: np.full_like(array, -0.0) for name, array in arrays.items()}


# ---- what is asked


def shape_of(draw, least=1, most=4, rank=None):
    return tuple(draw.randint(least, most) for _ in range(rank or draw.randint(1, 3)))


def source(shape, dtype="float32"):
    return input("x", TensorType(DType.table[dtype], shape))


def graph(x, *ys):
    return Graph("g", (x,), ys, tuple("yzw"[: len(ys)]))


def around(draw, y):
    """Something behind a value, and how it is called."""
    op = draw.choice((None, ops.Neg(), ops.Relu()))
    return (y, []) if op is None else (op(y), [op.name])


def pairs_of_transposes(draw):
    for _ in range(CASES):
        rank = draw.randint(3, 4)
        x = source(shape_of(draw, 2, 4, rank), draw.choice(("float32", "int32")))
        first, second = draw.choice([(p, q) for p in permutations(range(rank)) for q in permutations(range(rank))
                                     if [p[a] for a in q] != [q[a] for a in p]])  # fmt: skip
        back = tuple(first.index(a) for a in range(rank))
        y, rest = around(draw, ops.Transpose(back)(ops.Transpose(first)(x)))
        composed = tuple(first[a] for a in second)
        left = [] if composed == tuple(range(rank)) else ["Transpose"]
        z = ops.Transpose(second)(ops.Transpose(first)(x))
        shared = ops.Transpose(first)(x)
        apart = graph(x, ops.Transpose(second)(ops.Neg()(shared)))
        yield f"{first} and {second}", [(graph(x, y), rest, 0), (graph(x, z), left, 0), (apart, names(apart), 0)]


def neutral_ones(draw):
    dtypes = ("float32", "float64", "int32", "float32", "uint8", "float32")
    for dtype in dtypes:
        shape = shape_of(draw, 2, 4)
        x, kind = source(shape, dtype), DType.table[dtype].numpy
        add, sub = (-0.0, 0.0) if np.dtype(kind).kind == "f" else (0, 0)
        small = draw.choice(((), shape[-1:], shape))
        cases = []
        for op, number in draw.sample(((ops.Add(), add), (ops.Sub(), sub), (ops.Mul(), 1), (ops.Div(), 1)), 3):
            c = np.full(small, number, kind)
            both = (c, x) if op.name in ("Add", "Mul") and draw.random() < 0.5 else (x, c)
            y, rest = around(draw, op(*both)) if dtype != "uint8" else (op(*both), [])
            cases.append((graph(x, y), rest, 0))
        wrong = [
            ops.Sub()(np.zeros(small, kind), x),
            ops.Div()(np.ones(small, kind), x) if dtype != "uint8" else ops.Add()(x, np.ones(small, kind)),
        ]
        wrong.append(ops.Mul()(x, np.ones((2, *shape), kind)))
        if np.dtype(kind).kind == "f":
            wrong += [
                ops.Add()(x, np.zeros(small, kind)),
                ops.Sub()(x, np.full(small, -0.0, kind)),
                ops.Add()(x, np.full(shape, [*[-0.0] * (shape[-1] - 1), 0.0], kind)),
            ]
        cases += [(graph(x, y), names(graph(x, y)), 0) for y in wrong if not (dtype == "int32" and y.op.name == "Div")]
        yield f"{dtype}{list(shape)}", cases


def chains_of_reshapes(draw):
    for _ in range(CASES):
        dims = [draw.randint(2, 4) for _ in range(3)]
        a, b, c = dims
        x = source((a, b * c))
        chain = [ops.Reshape((b, a * c)), ops.Reshape((0, -1, 1)), ops.Reshape((-1, c)), ops.Reshape((a * b * c,))]
        y = x
        for op in draw.sample(chain, draw.randint(2, 3)):
            y = op(y)
        y, rest = around(draw, y)
        home = ops.Reshape((0, -1))(ops.Reshape((a, c, b))(ops.Reshape((-1,))(x)))
        nothing = ops.Reshape((0, 0))(x)
        copied = ops.Reshape((0, -1, 1))(ops.Reshape((b * c, a))(x))
        empty = source((0, a, b))
        gone = ops.Reshape((b, 0, a), True)(ops.Reshape((0, 7), True)(empty))
        apart = graph(x, ops.Reshape((-1,))(ops.Neg()(ops.Reshape((b, -1))(x))))
        cases = [(graph(x, y), ["Reshape", *rest], 0), (graph(x, home), [], 0), (graph(x, nothing), [], 0)]
        cases += [(graph(x, copied), ["Reshape"], 0), (graph(empty, gone), ["Reshape"], 0), (apart, names(apart), 0)]
        yield f"{a} x {b * c}", cases


def normalized(draw, x, groups=1, kernel=None, known=True):
    """A convolution of x, and its normalization."""
    random = np.random.default_rng(draw.getrandbits(32))
    channels = x.shape[1]
    outer = groups * draw.randint(1, 3)
    kernel = kernel or tuple(draw.randint(1, 3) for _ in x.shape[2:])
    weights = random.standard_normal((outer, channels // groups, *kernel)).astype(x.dtype.numpy)
    scale, bias, mean = random.standard_normal((3, outer)).astype(x.dtype.numpy)
    var = random.uniform(0.2, 3, outer).astype(x.dtype.numpy)
    y = ops.Conv(groups=groups, padding=(1,) * (2 * len(kernel)))(x, weights)
    if not known:
        scale = input("scale", TensorType(x.dtype, (outer,)))
    return y, ops.BatchNormalization(draw.choice((1e-5, 1e-3, 0.5)))(y, scale, bias, mean, var), scale


def normalizations(draw):
    for _ in range(CASES):
        groups = draw.choice((1, 1, 2))
        x = source(
            (draw.randint(1, 2), groups * draw.randint(1, 3), *shape_of(draw, 3, 5, draw.choice((1, 2)))),
            draw.choice(("float32", "float64")),
        )
        _, y, _ = normalized(draw, x, groups)
        y, rest = around(draw, y)
        convolution, z, _ = normalized(draw, x, groups)
        _, w, scale = normalized(draw, x, groups, known=False)
        plain = ops.BatchNormalization()(x, *np.full((4, x.shape[1]), 0.5, x.dtype.numpy))
        both, unknown, alone = (
            graph(x, z, ops.Relu()(convolution)),
            Graph("g", (x, scale), (w,), ("y",)),
            graph(x, plain),
        )
        cases = [(graph(x, y), ["Add", "Conv", *rest], 1e-4), *[(g, names(g), 1e-4) for g in (both, unknown, alone)]]
        yield f"{x.type}, {groups} groups", cases


def integer_ones(draw):
    for dtype in ("int32", "uint8", "int64", "int8"):
        shape = shape_of(draw, 2, 4)
        x, kind = source(shape, dtype), DType.table[dtype].numpy
        zeros = np.zeros(draw.choice(((), shape)), kind)
        larger = np.zeros((2, *shape), kind)
        ones = np.zeros(shape, kind)
        ones.flat[draw.sample(range(ones.size), 2)] = np.array([1, -1]).astype(kind)  # they add up to 0
        partly, added = graph(x, ops.Mul()(x, ones)), graph(x, ops.Add()(x, zeros))
        gone = (ops.Mul()(x, zeros), ops.Mul()(zeros, x), ops.Mul()(x, larger), ops.Sub()(x, x))
        cases = [(graph(x, y), [], 0) for y in gone]
        cases += [(g, names(g), 0) for g in (partly, added)]
        f = source(shape, draw.choice(("float32", "float64")))
        none = np.zeros(draw.choice(((), shape)), f.dtype.numpy)
        for y in (ops.Mul()(f, none), ops.Mul()(none, f), ops.Sub()(f, f)):
            cases.append((graph(f, y), names(graph(f, y)), 0))
        yield f"{dtype}{list(shape)}", cases


def task(rule, drawn, answers, draw):
    for title, cases in sorted(drawn(draw), key=lambda case: case[1][0][0].inputs[0].type.size):
        yield judged(f"{rule}: {title}", partial(keeps, answers, rule, cases))


ASKED = {
    "transposes": pairs_of_transposes,
    "neutral": neutral_ones,
    "reshapes": chains_of_reshapes,
    "normalization": normalizations,
    "integers_only": integer_ones,
}
globals().update({f"task4_{n}": partial(task, rule, drawn) for n, (rule, drawn) in enumerate(ASKED.items(), 1)})
