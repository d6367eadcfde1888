# %% [markdown]
# # A4: Five rewrite rules
#
# What may a compiler change about a model, so that nobody can tell? A model computes numbers; whoever makes it shorter must give the
# same ones, to the last bit, for whatever comes in: for NaN, for infinity, for a zero with a minus. You write five rules that do, and one of
# them is mostly about when not to.
#
# This page does it once, with `Neg(Neg(x)) -> x`, which is not among the five.

# %%
import numpy as np

from minicc import ops
from minicc.graph import Graph, evaluate, input
from minicc.graph.transform import same, transform
from minicc.types import TensorType, float32

x = input("x", TensorType(float32, (2, 3)))
graph = Graph("example", (x,), (ops.Relu()(ops.Neg()(ops.Neg()(ops.Transpose()(x)))),), ("y",))
print(graph)

# %% [markdown]
# ## A graph is made of nodes
#
# A node has an operator, inputs that are nodes again, and a type: dtype and shape. As a picture:

# %%
graph

# %% [markdown]
# ## A rule is a function
#
# It looks at one node, and at what is behind it. It returns a node of the same value, or None. `rewritten` in `rewriting.py` goes
# from place to place until the rule fits nowhere; here is a walk that is enough for this page.


# %%
def double_negation(n):
    """Neg(Neg(x)) is x: a sign that is turned twice is as it was, that of NaN and of zero, too."""
    if isinstance(n.op, ops.Neg) and isinstance(n.inputs[0].op, ops.Neg):
        return n.inputs[0].inputs[0]
    return None


shorter = transform(graph, lambda n, inputs: double_negation(same(n, inputs)) or same(n, inputs))
shorter

# %% [markdown]
# ## Is it true?
#
# Here is another rule that looks as good: `x / x -> 1`. Before you believe an equation, ask it the awkward numbers.

# %%
awkward = np.float32([[1.5, 0.0, -0.0], [np.nan, np.inf, -np.inf]])
quotient = Graph("quotient", (x,), (ops.Div()(x, x),), ("y",))
print(evaluate(quotient, {"x": awkward})["y"])

# %% [markdown]
# One in six is 1. School mathematics is about real numbers, and these are floats. Another pair of awkward numbers are the two zeros: they are
# equal, and yet a program can tell them apart.

# %%
zeros = np.float32([0.0, -0.0])
print(zeros, zeros == 0, zeros + np.float32(0.0), 1 / np.where(zeros == 0, np.copysign(np.float32(1), zeros), 1))
print([np.float32(z).tobytes().hex() for z in zeros])
assert (zeros + np.float32(0.0)).tobytes() != zeros.tobytes()

# %% [markdown]
# That is why 4.2 says *bits*: `array.tobytes()`.
#
# ## What a value is like before and after
#
# The judge runs both graphs, yours and the one that it gave, on numbers such as these, and compares them bit by bit. It also counts
# operators: a rule that never fits is always right, and earns nothing.

# %%
before, after = (evaluate(g, {"x": awkward})["y"] for g in (graph, shorter))
assert before.tobytes() == after.tobytes()
print(after)

# %% [markdown]
# ## 4.1: transposes
#
# Axis k of `Transpose(p)(x)` is axis `p[k]` of x. Do it twice, and you look up twice. In the picture the two are each other's inverse; nothing would
# remain of them.

# %%
cube = input("x", TensorType(float32, (2, 3, 4)))
there = ops.Transpose((1, 2, 0))(cube)
Graph("there and back", (cube,), (ops.Transpose((2, 0, 1))(there),), ("y",))

# %% [markdown]
# ## 4.2: what changes nothing
#
# Four operators, a number for each, and two questions: does it change no x at all, and is x as large as the result? An array of several numbers
# counts only if all of them are the right one, and a large one stretches x.

# %%
print(ops.Mul()(cube, np.ones((5, 2, 3, 4), np.float32)).type, "is not", cube.type)

# %% [markdown]
# ## 4.3: reshapes
#
# However often an array is reshaped, only the last shape is seen. But `0` in the last one means "as in what I was given", and `-1` "the rest", and
# what it is given is another array if the first Reshape goes. So say the shape in numbers, as `n.type.shape` does. A 0 among these is a real one.

# %%
first = ops.Reshape((4, 6))(cube)
second = ops.Reshape((0, -1, 1))(first)
print("of the other:", second.type, " of x itself:", ops.Reshape((0, -1, 1))(cube).type)
Graph("chain", (cube,), (second,), ("y",))

# %% [markdown]
# ## 4.4: a normalization vanishes
#
# When a network has been trained, BatchNormalization is a line: each channel is multiplied by one number, and another is added. A
# convolution is linear in its weights. So the multiplication can be done to the weights, once and for all. What is left is an addition,
# and an addition can be done on the way, in the loops of the convolution, for each element as it is finished.

# %%
image = input("x", TensorType(float32, (1, 3, 8, 8)))
weights = np.ones((4, 3, 3, 3), np.float32)
normalized = ops.BatchNormalization()(ops.Conv()(image, weights), *np.ones((4, 4), np.float32))
Graph("block", (image,), (ops.Relu()(normalized),), ("y",))

# %% [markdown]
# If somebody else reads the convolution it must stay. Then there would be two convolutions, and twice the work: right, and worse.
#
# ## 4.5: what is true of integers only
#
# `x * 0` looks like the surest rule of all. Ask the awkward numbers, and then an integer, which has none of them.

# %%
nothing = Graph("nothing", (x,), (ops.Mul()(x, np.float32(0)), ops.Sub()(x, x)), ("product", "difference"))
print(evaluate(nothing, {"x": awkward}), np.int8([-128, 0, 127]) * np.int8(0), sep="\n")

# %% [markdown]
# ## Your rules in minicc
#
# `simplify` at the end of `rules.py` is a pass: `minicc.compile(model, passes=pipeline(replace={"simplify": simplify}))`, with
# `pipeline` of `minicc.compile`. A rule that is open is passed over.
#
# ## What was not told
#
# minicc's own rules are data: a left side with holes, a right side, a condition (`minicc/graph/simplify_graph.py`). So they can be listed and
# tested one by one, and those that floats do not keep are marked. Nothing says that rules come to an end: that each makes progress is for you
# to see to.
