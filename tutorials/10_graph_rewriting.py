# %% [markdown]
# # Rewriting a graph
#
# A trained network normalizes after every convolution: it subtracts a mean, divides by a deviation, scales and
# shifts. Millions of numbers go through these four operations. In the compiled program they are gone, and the
# answer is the same. **Where did they go, and who allowed it?**
#
# In this lesson we take one block of the network that reads digits, and make it shorter, one equation at a time.
# We also try equations that every school teaches and that a compiler must not believe.

# %%
from collections import Counter
from importlib import resources

import numpy as np

import minicc
from minicc import ops
from minicc.course.checks import lesson_10 as check
from minicc.graph import Graph, bind, constant, evaluate, fold_constants, input, merge_common_subexpressions
from minicc.graph import simplify_graph
from minicc.graph.simplify_graph import RULES, AnyNode, Filled, GraphRule, on
from minicc.types import TensorType, float32

np.set_printoptions(precision=4, suppress=True)


def called(graph):
    """The names of the operators of a graph, in order."""
    return [n.op.name for n in graph.nodes if n.op.name not in ("Input", "Constant")]


# %% [markdown]
# ## 1. A block of a network
#
# The network is bound to one image, and we keep everything up to its first `Relu`, which is included. The picture has a
# box for each operator; the strip below a box names the constants that it reads, which are trained weights. (What the
# colours say is the matter of the next lesson.)

# %%
model = minicc.load(resources.files("minicc.cli").joinpath("digits/digits.onnx").read_bytes())
network = bind(model, {"batch": 1})
first_relu = next(n for n in network.nodes if n.op.name == "Relu")
block = Graph("block", network.inputs, (first_relu,), ("out",))
print(called(block))
assert called(block) == ["Conv", "Reshape", "Add", "BatchNormalization", "Relu"]
block

# %% [markdown]
# `BatchNormalization` is the normalization. For each channel it knows four numbers, and computes
#
#     (x - mean) / sqrt(var + epsilon) * scale + bias
#
# for each of the 1,024 numbers that it gets. (`epsilon` is tiny, so that nobody divides by zero.) While the network
# learns, mean and variance change all the time. Now it has learned, and all four are constants. That is what we are
# going to use.

# %%
kept = [n.type.size for n in block.nodes if n.op.name in ("Conv", "Add", "BatchNormalization", "Relu")]
print("numbers that each operator writes:", kept)
assert kept == [1024] * 4

# %% [markdown]
# ## 2. An equation as data
#
# What may be replaced by what? A **rewrite rule** says it in three parts: a left side, which is to be found in the
# graph, a right side, which is put there instead, and perhaps a condition. In minicc a rule is a value, not a piece
# of a program: it can be listed, tested, left out. Here is one. `on(ops.Mul(), x, one)` is how the graph must look;
# `x` and `one` in it are holes.
#
# A **wildcard** is a hole in a left side, which fits some nodes and has a name. `AnyNode("x")` fits every node that
# is no constant, `Filled("one", 1.0)` every constant that is full of ones. The same wildcard on the right side stands
# for what was found.

# %%
x = AnyNode("x")
times_one = GraphRule("multiply by one", on(ops.Mul(), x, Filled("one", 1.0)), x)  # x * 1 -> x

four = TensorType(float32, (4,))
a, b = input("a", four), input("b", four)
graph = Graph("small", (a, b), (ops.Relu()(ops.Mul()(ops.Add()(a, b), np.float32(1))),), ("y",))
shorter = simplify_graph(graph, [times_one])
print(called(graph), "->", called(shorter))
assert called(shorter) == ["Add", "Relu"]
graph

# %%
shorter

# %% [markdown]
# `simplify_graph` walks from the inputs to the outputs, and looks at each node whether a left side fits. It never
# changes a node, it makes a new graph; the old one is still there, and that is why we could print both.
#
# ## 3. Until nothing fits
#
# One replacement may make way for the next. So rules are applied until none fits any more. A graph on which no rule
# fits is called a **fixed point**: the pass gives it back as it is.

# %%
double_negation = GraphRule("double negation", on(ops.Neg(), on(ops.Neg(), x)), x)  # -(-x) -> x
graph = Graph("many", (a,), (ops.Neg()(ops.Mul()(ops.Neg()(ops.Neg()(ops.Neg()(a))), np.float32(1))),), ("y",))
settled = simplify_graph(graph, [times_one, double_negation])
print(called(graph), "->", called(settled))
assert called(settled) == []
assert simplify_graph(settled, [times_one, double_negation]) is settled, "a fixed point comes back as the same object"

# %% [markdown]
# Look at what happened there: the multiplication stood between two of the negations. Only when it had gone were
# they neighbours. Neither rule knows of the other.
#
# Does this always end? Not by itself. `c + x -> x + c` and `x + c -> c + x` are both true, and together they never
# stop. So a set of rules must make *progress*: each of them makes something smaller or simpler, and none undoes what
# another did. minicc notices rules that go in a circle, and says so; against rules that make a graph larger and larger
# nothing helps.
#
# ## 4. What depends on constants alone
#
# In our block a `Reshape` reads nothing but a constant. Its value is the same for every image, so it can be computed
# now, once. This is called **constant folding**. minicc needs no rule for it: each operator has a reference in
# NumPy, and folding *executes* it while compiling. What the reference says is right by definition, so here is
# nothing that could be wrong.

# %%
folded = fold_constants(block)
print(called(block), "->", called(folded))
assert called(folded) == ["Conv", "Add", "BatchNormalization", "Relu"]

three = constant(np.float32([1, 2, 3]))
print("folded:", fold_constants(Graph("sum", (), (ops.Mul()(three, ops.Neg()(three)),), ("y",))).outputs[0].array)

# %% [markdown]
# ## 5. The normalization goes away
#
# Now the block, one rule at a time. First: with the four constants known, a normalization is one multiplication and
# one addition, as
#
#     (x - mean) / sqrt(var + epsilon) * scale + bias  =  x * a + b
#
#     where  a = scale / sqrt(var + epsilon)  and  b = bias - mean * a
#
# We pick that rule out of the list of all rules.

# %%
by_name = {rule.name: rule for rule in RULES}
affine = simplify_graph(folded, [by_name["batch normalization"]])
print(called(affine))
assert called(affine) == ["Conv", "Add", "Mul", "Add", "Relu"]
affine

# %% [markdown]
# That is one operator *more* than before. It was still progress: a multiplication is something that other rules
# know. A convolution is a sum of products, so it does not matter whether we multiply its result or its weights:
#
#     (Conv(x, w) + c) * a  =  Conv(x, w * a) + c * a
#
# `w * a` is computed from two constants. It is folded, and the multiplication of 1,024 numbers for each image has become one
# of 144 weights, done once.

# %%
moved = simplify_graph(affine, [by_name["scale of a biased contraction"]])
print(called(moved))
assert called(moved) == ["Conv", "Add", "Add", "Relu"]
weights = next(n for n in moved.nodes if n.op.name == "Conv").inputs[1]
assert weights.type.size == 144
moved

# %% [markdown]
# Two additions of constants are left. `(x + c) + d -> x + (c + d)`, and we are done? There is such a rule. It does
# not fire:

# %%
two_biases = by_name["two biases"]
print("fires:", simplify_graph(moved, [two_biases]) is not moved, "  marked fast:", two_biases.fast)
assert simplify_graph(moved, [two_biases]) is moved and two_biases.fast

# %% [markdown]
# The next section shows why. But the two additions do become one, by a rule that looks at the whole: it sees
# convolution, bias and normalization together, and computes the new bias from all six constants at once, in float64,
# rounded a single time at the end. That is as exact as a bias can be. It stands before the others in the list,
# so that it is tried first. All rules, then:

# %%
short = simplify_graph(folded)
print(called(short))
assert called(short) == ["Conv", "Add", "Relu"]
short

# %% [markdown]
# The normalization has vanished. It is in the weights. And the answer?

# %%
image = {"image": np.random.default_rng(0).random((1, 1, 8, 8), np.float32)}
before, after = evaluate(block, image)["out"], evaluate(short, image)["out"]
print("greatest difference:", np.abs(before - after).max(), " greatest value:", before.max())
assert np.allclose(before, after, rtol=1e-5, atol=1e-5)

whole = Counter(called(network)), Counter(called(simplify_graph(fold_constants(network))))
print("BatchNormalizations in the whole network:", [count["BatchNormalization"] for count in whole])
assert [count["BatchNormalization"] for count in whole] == [3, 0]

# %% [markdown]
# It is the same up to rounding: a weight that was multiplied while the network ran is now multiplied, and rounded,
# before. Every compiler of networks does this. minicc says which of its rules do, and leaves them out for whoever wants
# it `exact`:

# %%
print(called(simplify_graph(folded, exact=True)))
assert simplify_graph(folded, exact=True) is folded

# %% [markdown]
# ## 6. Equations that floating point does not keep
#
# For real numbers all of these are true. For floats none is:

# %%
zero, big, inf = np.float32(0), np.float32(1e8), np.float32(np.inf)
with np.errstate(invalid="ignore"):
    print("x * 0 = 0?            for x = inf it is", inf * zero)
    print("x - x = 0?            for x = inf it is", inf - inf)
    print("x + 0 = x?            for x = -0.0 it is", np.float32(-0.0) + zero)
    print("(x + c) + d = x + (c + d)?  for x = 1, c = 1e8, d = -1e8 it is", (np.float32(1) + big) - big, "and 1.0")
    assert np.isnan(inf * zero) and np.isnan(inf - inf) and (np.float32(1) + big) - big == 0
    assert np.signbit(np.float32(-0.0)) and not np.signbit(np.float32(-0.0) + zero)

# %% [markdown]
# Infinity times zero is *not a number*, NaN, which says: something went wrong before. A rule `x * 0 -> 0` would hide
# that, and a network whose numbers have long since exploded would look fine.
#
# The third line is about a **signed zero**: floats have `0.0` and `-0.0`. They compare equal, but `1 / -0.0` is
# minus infinity. So `x + 0.0 -> x` is wrong for one single number, and `x + -0.0 -> x` is right for all! minicc has
# the second.
#
# And the last line is what we met above: 1 is lost in 1e8, and does not come back. Rules that are wrong in such ways
# are marked `fast=True`, and off unless somebody asks for them. Here they are:

# %%
for rule in RULES:
    if rule.fast:
        print(rule.name)
assert all(simplify_graph(moved, [rule]) is moved for rule in RULES if rule.fast)
assert simplify_graph(moved, [two_biases], fast=True) is not moved
assert "add zero" in by_name and not by_name["add zero"].fast, "x + -0.0 -> x"

# %% [markdown]
# ## 7. How to doubt a rule
#
# To prove a rule is hard. To doubt it is easy: compute both sides for many numbers, the nasty ones first, and look
# for a difference in any bit. What is found is a **counterexample**: an input on which a claim is false. One is
# enough, and the smaller the better.

# %%
NASTY = np.float32([0.0, -0.0, 1, -1, 1.5, 3, 1e-45, 3e38, -3e38, np.inf, -np.inf, np.nan])
left, right = (array.ravel() for array in np.meshgrid(NASTY, NASTY))  # every pair


def counterexample(before, after):
    """The first pair of numbers for which two functions of graphs differ in a bit; None if there is none among NASTY."""
    pair = [input(name, TensorType(float32, left.shape)) for name in "xy"]
    sides = [Graph("side", tuple(pair), (side(*pair),), ("out",)) for side in (before, after)]
    one, other = (evaluate(graph, {"x": left, "y": right})["out"] for graph in sides)
    same = ((one == other) & (np.signbit(one) == np.signbit(other))) | (np.isnan(one) & np.isnan(other))
    where = np.flatnonzero(~same)
    return (float(left[where[0]]), float(right[where[0]])) if len(where) else None


CLAIMS = {
    "x + y -> y + x": (lambda x, y: ops.Add()(x, y), lambda x, y: ops.Add()(y, x)),
    "x - y -> x + (-y)": (lambda x, y: ops.Sub()(x, y), lambda x, y: ops.Add()(x, ops.Neg()(y))),
    "(x + y) - y -> x": (lambda x, y: ops.Sub()(ops.Add()(x, y), y), lambda x, y: x),
    "x / y * y -> x": (lambda x, y: ops.Mul()(ops.Div()(x, y), y), lambda x, y: x),
}
found = {claim: counterexample(*sides) for claim, sides in CLAIMS.items()}
for claim, pair in found.items():
    print(f"{claim:18} counterexample: {pair}")
assert [pair is None for pair in found.values()] == [True, True, False, False]

# %% [markdown]
# Every rule of minicc is doubted like this, on random graphs too, each time its tests run. As rules are data, one
# loop over the list is enough, and a rule without an example fails the test.

# %% [markdown]
# ### Exercise 1
#
# Write the rule `(-x) * (-y) -> x * y`. Use two wildcards.
#
# <details><summary>Hint</summary>
# The pattern of a negation is `on(ops.Neg(), x)`, and patterns can stand inside each other. A right side that is more
# than a wildcard is a function of what was found, by name: `lambda x, y: ops.Add()(x, y)`, for example.
# </details>

# %%
y = AnyNode("y")
answer = ...  # GraphRule("two negations", on(...), lambda x, y: ...)
check.ex1(answer)

# %% [markdown]
# ### Exercise 2
#
# Somebody proposes four rules. One of them is wrong for floats:
#
# | name | rule |
# | --- | --- |
# | A | `Relu(Relu(x)) -> Relu(x)` |
# | B | `-(x - y) -> y - x` |
# | C | `x * 2 -> x + x` |
# | D | `Max(x, x) -> x` |
#
# Which one, and for which numbers? Answer with the letter, a number for `x` and one for `y`: `("A", 1.0, 2.0)`.
#
# <details><summary>Hint</summary>
# `counterexample` is there to be used. Then try to understand what it has found.
# </details>

# %%
answer = ...
check.ex2(answer)

# %%
# for exercise 3
half = ops.Mul()(constant(np.float32(2)), constant(np.float32(0.5)))  # which is 1, once it is computed
one_way = ops.Add()(ops.Relu()(ops.Mul()(a, half)), ops.Relu()(b))
other_way = ops.Add()(ops.Relu()(b), ops.Relu()(ops.Neg()(ops.Neg()(a))))
puzzle = Graph("puzzle", (a, b), (ops.Mul()(one_way, other_way),), ("y",))
passes = {"fold": fold_constants, "simplify": simplify_graph, "merge": merge_common_subexpressions}
print(called(puzzle))
puzzle

# %% [markdown]
# ### Exercise 3
#
# Three passes, in which order? `fold` computes what depends on constants alone, `simplify` applies the rules, and
# `merge` makes one node of two that compute the same value. (minicc makes equal nodes one from the start; what is left
# for `merge` are those that differ in the order of two operands, as `x + y` and `y + x` do. Such a pair is a
# **common subexpression**.) The graph above has work for all three, and only one order leaves nothing to do.

# %%
answer = ...  # such as ["merge", "fold", "simplify"]
check.ex3(answer, puzzle)

# %%
# for exercise 4
rng = np.random.default_rng(0)
pixels = input("pixels", TensorType(float32, (1, 3, 6, 6)))
convolved = ops.Conv()(pixels, rng.random((4, 3, 3, 3), np.float32))
normalized = ops.BatchNormalization()(convolved, *[rng.random(4, np.float32) + 1 for _ in range(4)])
shared = Graph("shared", (pixels,), (ops.Add()(ops.Relu()(normalized), convolved),), ("y",))
print(len(called(shared)), "operators before")
shared

# %% [markdown]
# ### Exercise 4
#
# In the graph above the value of the convolution is used twice: it is normalized, and it is added again after that (networks do
# this; it is called a residual connection). How many operators does the graph have after `simplify_graph`? Do not run
# it, think: what would happen to the second reader if the weights were scaled?

# %%
answer = ...
check.ex4(answer, shared)

# %% [markdown]
# ## Words
#
# - **rewrite rule**: an equation as data: a left side to look for, a right side to put there, perhaps a condition
# - **wildcard**: a named hole in the left side of a rule, which fits some nodes
# - **fixed point**: what a pass gives back unchanged, as nothing in it fits any more
# - **constant folding**: computing what depends on constants alone while the program is compiled
# - **signed zero**: floats have 0.0 and -0.0, which compare equal and divide differently
# - **counterexample**: an input on which a claim is false
# - **common subexpression**: a value that is computed at two places of a graph

# %% [markdown]
# ## What was not told
#
# - Our rules go one way, and the first that fits wins. Sometimes a detour through a longer graph leads to a shorter
#   one. *Equality saturation* keeps all forms at once and picks the best at the end: read about `egg` (Willsey and
#   others, 2021), and about TENSAT, which does it to networks.
# - We doubted rules by examples. For integers and simple floats one can prove them, with a solver: Alive2 does that
#   for LLVM's rules, and found dozens of wrong ones.
# - In which order rules are found matters for speed: `minicc/ir/rewrite.py` sorts them by the operator that they
#   start with, and is short enough to read.
# - A scale moves into weights only if no product overflows or vanishes on the way; `minicc/graph/simplify_graph.py`
#   says exactly when.
# - There are many more passes. `minicc.compile.pipeline()` lists them, each with the reason why it stands where it
#   stands.
