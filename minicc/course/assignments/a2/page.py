# %% [markdown]
# # A2: Three operators
#
# What must a compiler know of an operator, so that a model may use it? Three things: the type of its result, what it means,
# and how an element is computed. You teach it three operators that it has never heard of: in `operators.py`, three methods each.
#
# This page does it once, for an operator that is not among them: `Mirror` puts a row in front of a mirror.

# %%
import numpy as np

from minicc import te
from minicc.errors import TypeInferenceError
from minicc.ir.node import node
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.ops.base import Kind, Operator
from minicc.types import TensorType, float32


@node
class Mirror(Operator):
    """Along the last axis the elements of x, and then the same backwards."""

    kind = Kind.INJECTIVE

    def infer(self, x):
        if not x.rank:
            raise self.error("expected at least one axis, got a scalar", x, hint="add an axis before: Unsqueeze")
        return TensorType(x.dtype, (*x.shape[:-1], 2 * x.shape[-1]))

    def numpy(self, x):
        return np.concatenate([x, x[..., ::-1]], axis=-1)

    def compute(self, x):
        length = x.shape[-1]

        def element(*indices):
            *others, i = indices
            return te.if_then_else(i < length, x[(*others, i)], x[(*others, 2 * length - 1 - i)])

        return te.compute((*x.shape[:-1], 2 * length), element, name="mirror")


# %% [markdown]
# ## First language: the type
#
# `infer` gets types and gives one. What is not possible it refuses, with four parts: the call, what was expected and got, and a way out. The
# compiler asks it long before there are numbers.

# %%
print(Mirror().infer(TensorType(float32, (2, 4))))
try:
    Mirror().infer(TensorType(float32, ()))
except TypeInferenceError as error:
    print(error)

# %% [markdown]
# ## Second language: arrays
#
# `numpy` is what the operator *means*. It is slow and nobody minds; but whatever it does with NaN, with infinities, with integers that
# are too large and with no elements at all, the machine code must do, too.

# %%
row = np.array([[1, 2, np.nan]], np.float32)
print(Mirror().numpy(row), Mirror().numpy(row[:, :0]).shape)

# %% [markdown]
# ## Third language: expressions
#
# `compute` says what one element is, for indices that are not numbers yet. So there is no `if` of Python that could look at them:
# `te.if_then_else` is an expression that chooses when it is evaluated, and reads only what it takes. In the picture an element of
# the result is marked, and what it reads.

# %%
x = te.placeholder((2, 4), name="x")
mirror = Mirror().compute(x)
mirror.picture(at=(1, 5))

# %% [markdown]
# From an expression the compiler makes loops, and the loops run, as Python here, as machine code later. The same array must
# come out of both languages. That is the test of every operator in minicc, and of yours.

# %%
program = lower([mirror], [x, mirror], "kernel").program
print(program)
given = np.arange(8, dtype=np.float32).reshape(2, 4)
made = np.empty((2, 8), np.float32)
run_python(program, given, made)
assert np.array_equal(made, Mirror().numpy(given))

# %% [markdown]
# ## What there is to use
#
# Indices and elements are expressions: `+ - * / // %`, comparisons, `te.abs`, `te.minimum`, `te.if_then_else` and the like make others of
# them. For types, `self.accept(x, y)` refuses dtypes that the class does not accept, `broadcast(str(self), x.shape, y.shape)` shapes that do
# not fit together, and `axis_of(self, axis, x)` counts an axis from the front, or refuses it. (It takes a scalar as a vector of one: that case is yours.)
#
# ## 2.1 to 2.3: Huber
#
# A distance that is kind to outliers: a parabola near 0, a line far away. With NumPy's broadcasting: shapes are aligned from the right, and an
# axis of 1 is stretched. In an expression that is an index that stays 0.

# %%
distance = np.arange(-3, 3.5, 0.5)
print(*(f"{d:5.1f}: {min(abs(d), 1.0) * (abs(d) - min(abs(d), 1.0) / 2):.3f}" for d in distance), sep="\n")

# %% [markdown]
# ## 2.4 to 2.6: Interleave
#
# Two decks of cards, shuffled perfectly, along any axis: here columns, with a 0 from the first deck and a 1 from the second. Any dtype, bool
# among them: nothing is added or multiplied here, and what is not chosen must not be felt, be it NaN.

# %%
decks = np.zeros((2, 3), int), np.ones((2, 3), int)
print(np.array([[column for pair in zip(*rows, strict=True) for column in pair] for rows in zip(*decks, strict=True)]))

# %% [markdown]
# ## 2.7 to 2.9: CircularCorrelation
#
# How much is x like y, if y is turned by s places? As `y` goes around, so does its index: `(k + s) % n`. The sum is a reduction
# over an axis of its own, `te.reduce_axis`, which is no axis of the result: here a sum along rows, with all that one element reads.

# %%
k = te.reduce_axis((0, 4), name="k")
total = te.compute((2,), lambda i: te.sum(x[i, k], axis=k), name="total")
total.picture(at=(1,))

# %% [markdown]
# Sums of int8 are int8 and wrap around, in NumPy only if you say so: `sum(dtype=...)`.

# %%
small = np.array([100, 100], np.int8)
print(small.sum(), small.sum(dtype=np.int8))

# %% [markdown]
# ## What was not told
#
# Operators of minicc know more: which others they may be fused with (`kind`), how to draw examples of themselves for tests, their form in
# TVM. And `compute` says nothing of speed: that is what schedules are for. `minicc/ops/` has well over a hundred to read.
