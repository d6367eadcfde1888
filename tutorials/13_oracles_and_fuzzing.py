# %% [markdown]
# # Oracles and fuzzing
# <!-- needs: tvm -->
#
# A wrong compiler is worse than a slow one. It does not crash: it gives a number that looks like a number. And its
# tests were written by the people who wrote its bugs. **How do you find a mistake that nobody thought of?**
#
# In this lesson other compilers judge ours, random graphs go where no person would, and a fault that we plant ourselves
# is found, and shrinks until it fits on two lines. TVM is needed, `pip install "apache-tvm==0.27.0.post1"
# "apache-tvm-ffi==0.1.14.post1"`; onnxruntime and hypothesis are asked, too, where they are present.

# %%
import importlib.util
from importlib import resources

import numpy as np

import minicc
from minicc import ops
from minicc.bridge.relax import run_relax, to_relax
from minicc.course.checks import lesson_13 as check
from minicc.explain.draw_curves import Curve, curves
from minicc.graph import Graph, bind, evaluate, input, simplify_graph
from minicc.graph.simplify_graph import RULES, AnyNode, GraphRule, on
from minicc.testing import differences
from minicc.testing.draws import drawn_graph
from minicc.testing.mutants import mutants
from minicc.testing.oracle import agree, reference, run_loops
from minicc.testing.reduce import failure, fails_like, pytest_source, reduce
from minicc.types import TensorType, float32

np.set_printoptions(precision=3, suppress=True)
rng = np.random.default_rng(0)
EPS = float(np.finfo(np.float32).eps)

# %% [markdown]
# ## 1. Who knows the answer?
#
# To test a program, somebody must know what is right. What decides that is called an **oracle**. A person with paper
# is one, but a slow one. For a compiler there are better ones:
#
# - the *reference*: every operator of minicc carries its definition in NumPy, slow and plain;
# - the same program at another stage: our loops, run as Python;
# - another compiler, which was written by others.
#
# To run two systems on the same input and compare is called **differential testing**. If they differ, at least one is
# wrong, or they mean different things. Here is the heart of *attention*, the layer that language models are made of, for
# all of them:

# %%
queries, keys, values = (input(name, TensorType(float32, (5, 8))) for name in ("queries", "keys", "values"))
scores = ops.Mul()(ops.MatMul()(queries, ops.Transpose()(keys)), np.float32(8**-0.5))
graph = Graph("attention", (queries, keys, values), (ops.MatMul()(ops.Softmax()(scores), values),), ("y",))
inputs = {name: rng.standard_normal((5, 8), np.float32) for name in graph.input_names}

answers = {
    "reference": evaluate(graph, inputs)["y"],
    "loops, as Python": run_loops(graph, inputs)["y"],
    "machine code": minicc.compile(graph, threads=1).run(inputs)["y"],
    "TVM": run_relax(graph, inputs)["y"],
}
for name, answer in answers.items():
    print(f"{name:17} {answer[0, :3]}   farthest from the reference: {np.abs(answer - answers['reference']).max():.2g}")
graph

# %% [markdown]
# How does TVM read our graph? Every operator has a method that says it in TVM's words; `to_relax` calls them one after
# the other.

# %%
lines = to_relax(graph)["main"].script(show_meta=False).splitlines()
print("\n".join(line for line in lines if "= R." in line))

# %% [markdown]
# The network of the digits comes as a file, so that onnxruntime can read the same bytes.

# %%
data = resources.files("minicc.cli").joinpath("digits/digits.onnx").read_bytes()
digits, image = bind(minicc.load(data), {"batch": 1}), {"image": rng.random((1, 1, 8, 8), np.float32)}
wanted = evaluate(digits, image)["probability"]
judges = {"TVM": lambda: run_relax(digits, image)["probability"]}
if importlib.util.find_spec("onnxruntime"):
    import onnxruntime

    judges["onnxruntime"] = lambda: onnxruntime.InferenceSession(data).run(None, image)[0]
for name, judge in judges.items():
    print(f"{name:12} differs by {np.abs(judge() - wanted).max():.2g}")
    assert np.allclose(judge(), wanted, rtol=1e-4, atol=1e-6)

# %% [markdown]
# ## 2. How close is close enough?
#
# The answers are close and not equal: sums in another order are rounded at other places. So a test needs a
# **tolerance**: how far apart it lets two answers be. Chosen by feeling it is either so small that it raises false alarms, or so
# large that bugs live in it. Let us look at how a sum of K numbers errs, once added one after the other, once as NumPy
# does, in pairs of pairs of pairs. The unit is *eps*, the step from 1 to the next float32.


# %%
def sum_errors(terms, trials=8):
    """The mean relative error of two ways to add so many numbers, in eps."""
    errors = []
    for _ in range(trials):
        numbers = rng.random(terms, np.float32)
        exact = numbers.sum(dtype=np.float64)
        ways = np.add.accumulate(numbers)[-1], numbers.sum()
        errors.append([abs(float(way) - exact) / exact / EPS for way in ways])
    return np.mean(errors, axis=0)


sizes = [10**k for k in range(1, 7)]
in_order, pairwise = np.transpose([sum_errors(size) for size in sizes])
for size, *found in zip(sizes, in_order, pairwise, strict=True):
    print(f"{size:8} terms: {found[0]:8.2f} eps in order, {found[1]:5.2f} eps in pairs; the bound is {size / 2:.0f}")
assert all(found <= size / 2 for size, found in zip(sizes, in_order, strict=True)), "the bound of every textbook"
assert in_order[-1] > 10 * in_order[0] and in_order[-1] > pairwise[-1]
shown = [
    Curve("in order", dict(zip(sizes, in_order, strict=True))),
    Curve("square root / 4", {size: size**0.5 / 4 for size in sizes}, "c2", dashed=True),
]
curves("The error of a sum", shown, "terms", "relative error, in eps", logarithmic=True)

# %% [markdown]
# A sum of a million terms is much worse than one of ten, and that is no bug. So the tolerance has to *grow with the
# length of the reduction*. The textbook's bound, K / 2, always holds and is much too wide. Roundings go up and
# down like steps of a drunken man, and so the error grows like the square root.
#
# Size is not all. What is subtracted may cancel, and leaves only errors. minicc's oracle does not guess there: it runs
# the reference in float64, disturbs every rounding a little, five times, and looks how far each element moves. What
# moves far may be wrong by that much.

# %%
x = input("x", TensorType(float32, (3,)))
big = np.float32(1e6)
harmless = Graph("harmless", (x,), (ops.Add()(x, np.float32(1)),), ("y",))
cancels = Graph("cancels", (x,), (ops.Sub()(ops.Add()(x, big), big),), ("y",))
small = {"x": np.float32([0.1, 1, 2])}
for each in (harmless, cancels):
    (value,), (tolerance,) = reference(each, small)
    print(f"{each.name:9} {value}  within", " ".join(f"{t:.1e}" for t in tolerance))
assert reference(cancels, small)[1][0].max() > 1000 * reference(harmless, small)[1][0].max()

# %% [markdown]
# `agree` does all that, and asks every stage. It raises an error that names stage and element, or is silent.

# %%
agree(graph, inputs, stages=("numpy", "loop", "llvm"))
print("all stages agree")

# %% [markdown]
# ## 3. A difference of opinion
#
# What is the maximum of 1 and NaN? The standard of ONNX follows NumPy: NaN, so that no error goes unseen. TVM computes
# `a > b ? a : b`, and every comparison with NaN is false.

# %%
left, right = (input(name, TensorType(float32, (3,))) for name in "ab")
maximum = Graph("maximum", (left, right), (ops.Max()(left, right),), ("y",))
nan = {"a": np.float32([np.nan, 1, 3]), "b": np.float32([1, np.nan, 2])}
print("minicc:", minicc.compile(maximum, threads=1).run(nan)["y"], "  TVM:", run_relax(maximum, nan)["y"])
assert np.isnan(minicc.compile(maximum, threads=1).run(nan)["y"][:2]).all()
assert not np.isnan(run_relax(maximum, nan)["y"]).all()

# %% [markdown]
# Neither is a bug: they define the operator differently. Who judges needs a list of such cases. minicc's has a
# condition on the *values* for each: with a NaN in sight the judge is excused, and otherwise not. An excuse for the whole
# operator would hide the next real bug.

# %%
known = {
    "with a NaN": differences.differences_of(ops.Max(), list(nan.values()), "relax"),
    "without": differences.differences_of(ops.Max(), [array[2:] for array in nan.values()], "relax"),
}
for name, found in known.items():
    print(f"{name:11}", [d.name for d in found])
assert known["with a NaN"] and not known["without"]
print(len(differences.DIFFERENCES), "known differences, for example:")
for difference in differences.DIFFERENCES[:3]:
    print(f"  {difference.name}: {difference.ours} here, {difference.relax or 'the same'} in Relax")

# %% [markdown]
# ## 4. Examples that nobody thought of
#
# A person tests 2 x 3 matrices. Bugs live in the shape (0, 1, 7), in a broadcast along the middle, in the least
# integer. So draw the examples at random, and state what must hold for *all* of them. Such a statement is a *property*,
# and this is **property-based testing**; with examples that are wild enough, people call it **fuzzing**.
#
# Let us first plant a fault, so that there is something to find. A rule that a tired person might write:
# `Relu(-x) -> -Relu(x)`.

# %%
any_node = AnyNode("x")
tired = GraphRule("pull the negation out", on(ops.Relu(), on(ops.Neg(), any_node)), lambda x: ops.Neg()(ops.Relu()(x)))
stages = {"simplified": lambda graph, inputs: evaluate(simplify_graph(graph, (*RULES, tired)), inputs)}
NAMES = ["Add", "Neg", "Relu", "Mul", "Transpose", "ReduceSum", "Softmax", "MatMul", "Concat"]


def fuzz(stages, graphs=500):
    """The first random graph on which a stage is not the reference, and how many were tried."""
    for seed in range(graphs):
        example = drawn_graph(seed, max_nodes=8, names=NAMES)
        if example and failure(example.graph, example.inputs, list(stages), stages):
            return example, seed
    return None, graphs


found, tried = fuzz(stages)
print(f"graph {tried} is wrong:", failure(found.graph, found.inputs, list(stages), stages))
assert found is not None
found.graph

# %% [markdown]
# Found! But whoever gets this graph as a bug report will look at every part of it, and most parts have nothing to do
# with the fault.
#
# ## 5. Two nodes
#
# So make it smaller, as long as it fails in the same way: cut it in half, bypass a node, shorten an axis, replace a
# number by 0 or 1. Each attempt is a run of the test, and costs nothing. This is **shrinking** (or *delta
# debugging*, after Zeller, 1999).

# %%
story = []
shrunk, arrays = reduce(
    found.graph, found.inputs, fails_like(found.graph, found.inputs, list(stages), stages), story.append
)
print(len(found.graph.nodes), "nodes at first, inputs and constants included;", "; ".join(story[::2]))
print(shrunk, arrays)
assert [n.op.name for n in shrunk.nodes if n.op.name != "Input"] == ["Neg", "Relu"]
shrunk

# %% [markdown]
# Two nodes and one number, and everybody sees it: `Relu(-1)` is 0, and `-Relu(1)` is -1. It is even a test already:

# %%
test = pytest_source(shrunk, arrays, ["numpy", "llvm"])
print(test[test.index("TEXT") :])

# %% [markdown]
# The library *hypothesis* does both, drawing and shrinking, for properties of any kind. `minicc.testing.strategies`
# has what it needs to draw graphs, operators and schedules:

# %%
if importlib.util.find_spec("hypothesis"):
    from hypothesis import HealthCheck, given, settings

    from minicc.testing.strategies import graphs

    @settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(graphs(max_nodes=3, names=NAMES))
    def test_machine_code(example):
        agree(example.graph, example.inputs, stages=["llvm"])

    test_machine_code()
    print("ten graphs, drawn by hypothesis: machine code agrees on all")

# %% [markdown]
# ## 6. Without any oracle
#
# Sometimes nobody knows the answer, for example of a large network whose reference takes hours. Then compare the
# program with *itself*, on inputs whose answers must be related. A **metamorphic property** says how: if the input
# changes so, the output changes so. A convolution is linear; times two is exact in floats; so twice the image gives
# exactly twice the result, to the bit:

# %%
pixels = input("pixels", TensorType(float32, (1, 3, 9, 9)))
filters = rng.standard_normal((4, 3, 3, 3), np.float32)
convolution = minicc.compile(Graph("conv", (pixels,), (ops.Conv()(pixels, filters),), ("y",)), threads=1)
image = rng.standard_normal((1, 3, 9, 9), np.float32)
once, twice = convolution(image)[0], convolution(2 * image)[0]
assert np.array_equal(2 * once, twice)
moved = convolution(np.roll(image, 1, axis=3))[0]
assert np.allclose(moved[..., 1:], once[..., :-1], rtol=1e-4, atol=1e-5), "a moved image gives a moved result"
print("twice the image, twice the result; a moved image, a moved result")

# %% [markdown]
# ## 7. Who tests the tests?
#
# A test that cannot fail is worth nothing. So plant small faults in the code, one at a time, and count how many the
# tests notice. A program with one such fault is a **mutant**; a test that fails for it *kills* it. Mutants that survive
# show what nobody checks. minicc can make them from any text:

# %%
SOURCE = "def clipped(x, low, high):\n    return low if x < low else high if x > high else x\n"


def survivors(tests):
    """The mutants of SOURCE for which all tests pass."""
    alive = []
    for mutant in mutants("clipped.py", SOURCE):
        scope = {}
        exec(mutant.planted(SOURCE), scope)
        if all(test(scope["clipped"]) for test in tests):
            alive.append(str(mutant))
    return alive


one_example = [lambda f: f(-3, 0, 1) == 0]
three = [*one_example, lambda f: f(7, 0, 1) == 1, lambda f: f(0.5, 0, 1) == 0.5]
print(len(list(mutants("clipped.py", SOURCE))), "mutants")
for tests in (one_example, three):
    print(f"tests: {len(tests)}; mutants that survive:", *survivors(tests), sep="\n  ")
assert len(survivors(one_example)) > len(survivors(three)) == 2

# %% [markdown]
# Two are left, and no test will ever kill them: whether `x < low` or `x <= low`, for `x == low` the answer is the
# same. Such mutants are called *equivalent*, and to see that one is needs a head.

# %%
# for exercise 1
three_numbers = input("x", TensorType(float32, (3,)))


def disagreement(op, numbers, a, b):
    return Graph(op.name, (three_numbers,), (op(three_numbers),), ("y",)), {"x": np.float32(numbers)}, a, b


DISAGREEMENTS = [
    disagreement(ops.Round(), [0.5, 1.5, 2.5], [0, 2, 2], [1, 2, 3]),
    disagreement(ops.ReduceSum((0,), False), [1e8, 1, -1e8], 0, 1),
    disagreement(ops.ArgMax(0, False), [1, 3, 3], 2, 1),
    disagreement(ops.Exp(), [0, 1, 2], [1, 2.7182817, 7.389056], [1, 2.718, 7.389]),
]
for graph, numbers, a, b in DISAGREEMENTS:
    print(f"{graph.name:10} of {numbers['x']}: A says {a}, B says {b}")

# %% [markdown]
# ### Exercise 1
#
# Two systems, A and B, disagree four times, as printed above. Who is right? Answer with a list of four words: `"A"`, `"B"`, or `"both"` if
# neither can be blamed. The standard is that of ONNX: `Round` rounds halves to the even neighbour, `ArgMax` gives the
# first of several.

# %%
answer = ...  # such as ["A", "A", "both", "B"]
check.ex1(answer, DISAGREEMENTS)

# %% [markdown]
# ### Exercise 2
#
# Plant a fault of your own: a `GraphRule` of the operators in `NAMES` that is wrong. The check fuzzes it, shrinks what it
# finds, and shows you the smallest graph. Can you write one that is wrong and is *not* found in 500 graphs? Think of
# numbers that are rare.
#
# <details><summary>Hint</summary>
# Begin with the rule `tired` above, and change it: `x + y -> x`, or `Relu(x) * Relu(y) -> Relu(x * y)`, or what you like.
# </details>

# %%
answer = ...  # GraphRule("mine", on(...), lambda x: ...)
check.ex2(answer, NAMES)

# %%
# for exercise 3


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def overflowing(x):
    return np.exp(x) / np.exp(x).sum()


def off_by_one(x):
    e = np.exp(x - x.max())
    return e / e[:-1].sum()


def sorting(x):
    return np.sort(softmax(x))


def backwards(x):
    return softmax(-x)


def sums_to_one(f, x):
    return np.isclose(f(x).sum(), 1)


def ignores_a_shift(f, x):
    return np.allclose(f(x), f(x + 1000))


def follows_a_permutation(f, x):
    return np.allclose(f(x[::-1]), f(x)[::-1])


def keeps_the_greatest(f, x):
    return f(x).argmax() == x.argmax()


MUTANTS = [overflowing, off_by_one, sorting, backwards]
PROPERTIES = [sums_to_one, ignores_a_shift, follows_a_permutation, keeps_the_greatest]

# %% [markdown]
# ### Exercise 3
#
# Above are a softmax, four mutants of it, and four properties. For each mutant choose a property that kills it.

# %%
answer = ...  # {"overflowing": "...", "off_by_one": "...", "sorting": "...", "backwards": "..."}
check.ex3(answer, softmax, MUTANTS, PROPERTIES)

# %% [markdown]
# ## Words
#
# - **oracle**: what decides whether an answer is right; here one function that compares all stages
# - **differential testing**: running two systems on the same input and comparing
# - **tolerance**: how far apart a test lets two answers be
# - **property-based testing**: stating what holds for all inputs, and drawing inputs to refute it
# - **fuzzing**: testing with inputs that are drawn at random
# - **shrinking**: making an input that fails smaller as long as it fails
# - **metamorphic property**: how the output must change when the input is changed in a certain way
# - **mutant**: a program with one small fault, planted to test the tests

# %% [markdown]
# ## What was not told
#
# - A model file is also an input, and may be hostile: `minicc/testing/mutate_onnx.py` fuzzes the *readers* of files, byte
#   by byte.
# - Random graphs of valid operators are an art of their own; read about NNSmith (2023), which asks a solver for them, and
#   CSmith (2011), which found hundreds of bugs in C compilers.
# - Compilers can be *proved*: CompCert is, and the fuzzers that broke all others found nothing in its core.
# - Our tolerance has more cases than were shown: 16-bit floats, convolutions by Winograd's algorithm, elements that no
#   rounding decides. `minicc/testing/oracle.py` begins with all of it.
# - minicc's own tests were tested with mutants, hundreds of them: `python -m minicc.testing.mutants --list`.
