"""The judge of A2: types, arrays and loop programs are compared with what is computed here, in float64 and element by element."""

import itertools
from functools import partial

import numpy as np

from minicc.course.judging import Failed, Unequal, equal, judged
from minicc.loop.counts import count
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.types import DType, TensorType

FILE = "operators.py"
NOT_FINITE, ZEROS = (np.nan, np.inf, -np.inf), (0.0, -0.0)
STRETCHED = (((2, 1), (1, 3)), ((3, 2), (2,)), ((3,), (2, 3)))  # from the right, on either side
MOST_SHOWN = 9  # elements of an input that a report shows
MOST_TRIPS = 50  # of all loops, for each multiplication that there must be


# ---- what is right


def huber(x, y, delta=1.0):
    distance = np.abs(x - y)
    return np.where(distance > delta, delta * distance - delta * delta / 2, distance**2 / 2)


def interleave(x, y, axis=-1):
    x, y = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    rows = [row for pair in zip(x, y, strict=True) for row in pair]
    return np.moveaxis(np.array(rows, x.dtype).reshape(2 * x.shape[0], *x.shape[1:]), 0, axis)


def correlation(x, y):
    n = x.shape[-1]
    turned = (np.arange(n)[:, None] + np.arange(n)) % max(n, 1)  # of shift and k
    return (x[..., None, :] * y[..., turned]).sum(axis=-1)


RIGHT = {"Huber": huber, "Interleave": interleave, "CircularCorrelation": correlation}


def result(name, attributes, arrays):
    """What the operator means: of floats in float64, of integers in their own dtype, which wraps around."""
    with np.errstate(all="ignore"):
        if arrays[0].dtype.kind != "f" or name == "Interleave":
            return RIGHT[name](*arrays, **attributes).astype(arrays[0].dtype)
        return RIGHT[name](*[a.astype(np.float64) for a in arrays], **attributes)


def same(got, expected, arrays):
    """Raise Unequal unless an array is of the dtype of the inputs and of this shape, and has these values; data are such that little is rounded."""
    dtype = arrays[0].dtype
    if not isinstance(got, np.ndarray):
        raise Unequal(f"expected an array, got {type(got).__name__}")
    equal(str(TensorType.of(got)), str(TensorType(DType.of(dtype), expected.shape)))
    close = 8 * np.finfo(dtype).eps if np.dtype(dtype).kind == "f" else 0
    with np.errstate(all="ignore"):
        wide, right = (a.astype(np.float64) if close else a for a in (got, expected))
        good = (wide == right) | ((np.isnan(wide) & np.isnan(right)) if close else False)
        good = good | (np.abs(wide - right) <= close * np.abs(right)) if close else good
    for place in np.argwhere(~good)[:1]:
        at = tuple(map(int, place))
        given = [f"{name} = {a.tolist()}" for name, a in zip("xy", arrays, strict=True) if a.size <= MOST_SHOWN]
        raise Unequal(", ".join([f"expected {expected[at]} at {list(at)}, got {got[at]}", *given]))


# ---- what is asked


def numbers(shape, dtype, draw, special):
    """An array of eighths, of which sums and products are exact, or of integers; where `special`, NaN or the like, or integers of any size."""
    random = np.random.default_rng(draw.getrandbits(32))
    if dtype == "bool":
        return np.asarray(random.integers(0, 2, shape), dtype)
    if np.dtype(dtype).kind != "f":
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if special else (0, 119)
        return np.asarray(random.integers(low, high, shape, dtype, endpoint=True))
    array = np.asarray(random.integers(-40, 41, shape) / 8, dtype)
    if special and array.size:
        for place, values in zip(draw.sample(range(array.size), min(array.size, 2)), (NOT_FINITE, ZEROS), strict=False):
            array.flat[place] = draw.choice(values)
    return array


def shapes(name, draw):
    """Pairs of shapes that the operator takes, small ones first, empty ones among them."""

    def sizes(rank, least=1):
        return tuple(draw.randint(least, 5) for _ in range(rank))

    def thinned(shape):
        return tuple(draw.choice((1, n)) for n in shape)

    first = [(), (1,), (0,)] if name == "Huber" else [(1,), (0,), (2,)]
    pairs = [(shape, shape) for shape in (*first, sizes(1, 3), (2, 0, 3), (2, 3, 0), sizes(2, 2), sizes(3))]
    if name != "Huber":
        more = (sizes(1, 3), sizes(2, 2), sizes(1, 3), sizes(2, 2))
        return [*pairs, *zip(more, more, strict=True)]
    whole = [sizes(rank, 2) for rank in (1, 2, 3, 3)]
    return [*pairs, *[(thinned(s), s) if draw.random() < 0.5 else (s, thinned(s)[1:]) for s in whole], *STRETCHED]


def dtypes(name):
    """Dtypes to go through."""
    floats, integers = ("float32", "float64"), ("int32", "uint8", "int8", "int64")
    return {"Huber": floats, "Interleave": ("float32", "bool", *integers), "CircularCorrelation": (*floats, *integers)}[
        name
    ]


def attributes(name, shape, n, draw):
    """Attributes that fit a first input of this shape, of case `n`: every second axis is counted from behind."""
    if name == "Huber":
        return {"delta": draw.choice((1.0, 0.5, 2.5))}
    if name != "Interleave":
        return {}
    axis = draw.choice([a for a, extent in enumerate(shape) if extent] or [0])
    return {"axis": axis - len(shape) * (n % 2)}


def cases(name, draw):
    """A title, attributes and arrays for each pair of shapes; plain numbers first, then two of four with NaN, an infinity, or large integers."""
    turns = itertools.cycle(dtypes(name))
    for n, pair in enumerate(shapes(name, draw)):
        dtype, given = next(turns), attributes(name, pair[0], n, draw)
        arrays = [numbers(shape, dtype, draw, n > 3 and n % 4 > 1) for shape in pair]
        words = ", ".join([*(f"{k}={v}" for k, v in given.items()), *(str(TensorType.of(a)) for a in arrays)])
        yield f"{name}({words})", given, arrays


def refused(name, draw):
    """Attributes and types that the operator must refuse: the reason, and these."""
    n = draw.randint(2, 5)
    pair = [TensorType(DType.table["float32"], (2, n))] * 2
    wrong = [("two dtypes", {}, [pair[0], TensorType(DType.table["float64"], (2, n))])]
    if name == "Huber":
        wrong.append(("integers", {}, [TensorType(DType.table["int32"], (n,))] * 2))
        wrong.append(("shapes that do not broadcast", {}, [pair[0], TensorType(pair[0].dtype, (2, n + 1))]))
        wrong.append(("a delta of 0", {"delta": 0.0}, pair))
        return wrong
    wrong.append(("scalars", {}, [TensorType(pair[0].dtype, ())] * 2))
    wrong.append(("two shapes", {}, [pair[0], TensorType(pair[0].dtype, (2, 1))]))
    if name == "Interleave":
        return [*wrong, ("no such axis", {"axis": 2}, pair), ("no such axis", {"axis": -3}, pair)]
    return [*wrong, ("bool", {}, [TensorType(DType.table["bool"], (n,))] * 2)]


# ---- what is answered


def types_of(name, answers, draw):
    """Each type that must be inferred, together with one that must be refused: to refuse everything earns nothing."""
    reasons = itertools.cycle(refused(name, draw))
    for title, given, arrays in cases(name, draw):
        why, others, types = next(reasons)
        yield judged(f"type of {title}; {why}", partial(infers, name, answers, given, arrays, others, types))


def infers(name, answers, given, arrays, others, types):
    inputs = [TensorType.of(a) for a in arrays]
    expected = TensorType(inputs[0].dtype, result(name, given, arrays).shape)
    equal(str(answers.call(FILE, "infer", name, given, inputs)), str(expected))
    try:
        got = answers.call(FILE, "infer", name, others, types)
    except Failed as error:
        if error.kind != "TypeInferenceError":
            raise
    else:
        given = ", ".join([*(f"{k}={v}" for k, v in others.items()), *map(str, types)])
        raise Unequal(f"expected a TypeInferenceError for {name}({given}), got {got}")


def arrays_of(name, answers, draw):
    for title, given, arrays in cases(name, draw):
        yield judged(title, partial(refers, name, answers, given, arrays))


def refers(name, answers, given, arrays):
    same(answers.call(FILE, "reference", name, given, arrays), result(name, given, arrays), arrays)


def programs_of(name, answers, draw):
    for title, given, arrays in cases(name, draw):
        yield judged(title, partial(computes, name, answers, given, arrays))


def computes(name, answers, given, arrays):
    """Run the loop program that came back here, on arrays that it has not seen."""
    expected, dtype = result(name, given, arrays), arrays[0].dtype
    program = answers.call(FILE, "program", name, given, [TensorType.of(a) for a in arrays])
    if not isinstance(program, Program):
        raise Unequal(f"expected a loop program, got {type(program).__name__}")
    got = [(str(b.dtype), b.shape) for b in (*program.params, *program.outputs)]
    equal(got, [*[(str(a.dtype), a.shape) for a in arrays], (str(dtype), expected.shape)])
    most = MOST_TRIPS * (1 + sum(a.size for a in arrays)) * (1 + max(a.size for a in arrays))
    if (trips := count(program, caches=(), arrays=arrays).trips) > most:
        raise Unequal(f"expected at most {most:,} trips of all loops, got {trips:,}")
    output = np.full(expected.shape, 77, dtype)
    run_python(program, *arrays, output)
    same(output, expected, arrays)


ASKED = (types_of, arrays_of, programs_of)
globals().update({f"task2_{n}": partial(ask, name)
                  for n, (name, ask) in enumerate(itertools.product(RIGHT, ASKED), 1)})  # fmt: skip
