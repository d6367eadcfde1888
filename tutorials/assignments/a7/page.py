# %% [markdown]
# # A7: Tests that must kill ten planted faults
#
# When have you tested enough? One answer: when nobody can put a fault into the program that your tests do not find. Here somebody has. You get a
# compiler as a black box, ask it questions, and say whether it is right. Ten of those that you will meet have a fault each. The others are right,
# each in its own way; and whoever cries wolf there has found nothing.
#
# This page does it once, with an operator that is not among those of the assignment: `Abs`.

# %%
import numpy as np

from minicc import ops
from minicc.graph import Graph, evaluate, input
from minicc.types import TensorType, float32


def right(x):
    return np.abs(x)


def also_right(x):
    return np.where(np.isnan(x), -x, np.sqrt(x.astype(np.float64) ** 2)).astype(x.dtype)


def wrong(x):
    return np.where(x > 0, x, -x)


# %% [markdown]
# ## Which question tells them apart?
#
# Not this one:

# %%
ordinary = np.float32([1.5, -2.0, 0.25, -100.0])
for candidate in (right, also_right, wrong):
    print(f"{candidate.__name__:12}", candidate(ordinary))

# %% [markdown]
# A fault hides where few people look. So write down what is awkward for *this* operator, before you think of tests: not a
# number, infinity, the zeros, the largest, the smallest.

# %%
awkward = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, 1e-40])
for candidate in (right, also_right, wrong):
    print(f"{candidate.__name__:12}", candidate(awkward))

# %% [markdown]
# Here it is: the absolute value of 0 is 0, and `wrong` gives it a minus. Did you see it? A computer would not, with `==`:

# %%
print(wrong(awkward)[3:5] == right(awkward)[3:5], np.signbit(wrong(awkward)[3:5]), np.signbit(right(awkward)[3:5]))
assert np.signbit(wrong(awkward)[3]) and not np.signbit(right(awkward)[3])

# %% [markdown]
# ## What right means
#
# `also_right` turns the sign of NaN. Nothing says that it must not: NaN is NaN. And a sum that is added up from the other end has other last
# digits. Neither is a fault, and a check that fails on them earns nothing.

# %%
numbers = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
forwards, backwards = np.float32(0), np.float32(0)
for a, b in zip(numbers, numbers[::-1], strict=True):
    forwards, backwards = forwards + a, backwards + b
print(forwards, backwards, float(numbers.astype(np.float64).sum()))
assert forwards != backwards and np.isclose(forwards, backwards, 1e-4, 1e-4)

# %% [markdown]
# So comparisons have a *tolerance*: none where each result is exact, a little where something is rounded, as small as all that is right allows.
# `expect_same` in `subject.py` compares; the tolerance is yours.
#
# ## 7.1 and 7.2: operators
#
# 7.1 is about what is in an array, 7.2 about its shape. A sum may forget the end of a row which is no multiple of a vector long; an axis can be
# counted from either end; the greatest element may stand there twice. Integers are not rounded, and have troubles of their own: what is
# -7 divided by 2?

# %%
print("Div:", ops.Div()(np.int32([-7]), np.int32([2])), " Python:", -7 // 2)

# %% [markdown]
# ## 7.3: graphs
#
# Between operators there are other faults. A compiler likes to save memory, and writes a result over what it was computed of. That is right as
# long as nobody needs the old value. In this graph somebody does.

# %%
x = input("x", TensorType(float32, (4,)))
a = ops.Neg()(x)
graph = Graph("shared", (x,), (ops.Sub()(ops.Relu()(a), a),), ("y",))
graph

# %%
given = np.float32([1, -1, 2, -2])
value = -given
np.maximum(value, 0, out=value)  # Relu, in place: a is gone
print("right:", evaluate(graph, {"x": given})["y"], " in place:", value - value)

# %% [markdown]
# A random graph would find that, too, if there are enough of them and values are shared often: that is fuzzing. But a handful of graphs of which
# you know why they are there is faster, and tells what broke.
#
# ## How it is judged
#
# The candidates stay with the judge: your check sends a question, and gets an answer. So it cannot look inside. Right ones and faulty ones come in
# an order that is drawn, and which dtypes and operators a fault hits is drawn, too, for each of you. A fault counts as killed if the check raises
# AssertionError for it, and for no right candidate of the same task. There are more right ones than in `subject.py`: some round otherwise, or sum
# from the end. If your check fails one of them, the report shows what it said. A check has 400 questions, which are soon spent: choose them.
#
# ## What was not told
#
# To plant faults and count who finds them is called mutation testing. minicc does it to itself (`minicc/testing/mutants.py`): a changed line that
# no test notices is a missing test.
