# %% [markdown]
# # Testing against TVM
#
# How do we know that a compiler is right? Its own tests were written by the people who wrote its bugs.
# TVM compiles the same networks, was written by others, and shares no line with minicc: where both give
# the same answer, either both are right, or both are wrong in the same way. In this lesson we let TVM
# judge a small network, learn to tell a bug from a difference of opinion, draw examples that nobody thought
# of, and look at how differently the two compilers group the same operators.
#
# Run this file as a script, or open it as a notebook (the cells start with `# %%`). It needs TVM:
# `pip install "apache-tvm==0.27.0.post1" "apache-tvm-ffi==0.1.14.post1"`.

# %%
import numpy as np
from hypothesis import HealthCheck, Verbosity, given, settings

import minicc
from minicc import ops, te
from minicc.bridge.from_relax import from_relax
from minicc.bridge.relax import run_relax, to_relax
from minicc.explain.fusion import before_fusion, compare_fusion
from minicc.graph import Graph, evaluate, input
from minicc.tensor.expr import select
from minicc.testing import differences
from minicc.testing.oracle import Disagreement, agree
from minicc.testing.strategies import graphs
from minicc.types import TensorType, float32

np.set_printoptions(precision=3, suppress=True)
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. A graph, in the words of TVM
#
# A graph of minicc is built by calling operators on nodes. This one is half of an attention layer: scores,
# which are scaled and become weights, and a sum with these weights.

# %%
queries, keys, values = (input(name, TensorType(float32, (5, 8))) for name in ("queries", "keys", "values"))
scores = ops.MatMul()(queries, ops.Transpose()(keys))
weights = ops.Softmax()(ops.Mul()(scores, np.float32(8**-0.5)))
graph = Graph("attention", (queries, keys, values), (ops.MatMul()(weights, values),), ("y",))
print(graph)

# %% [markdown]
# TVM's language for graphs is called *Relax*. Every operator of minicc knows its own translation: a method
# `tvm`, written by hand against TVM's operators (`minicc ops --tvm` lists them all). `to_relax` walks
# through the graph and calls them. The variable `n4_` is what node 4 has become, the three inputs counted: `%1` above.

# %%
module = to_relax(graph)
print(module["main"].script(show_meta=False))

# %% [markdown]
# TVM compiles the module for this machine and runs it. NumPy evaluates our graph, minicc compiles it to
# machine code. Three answers:

# %%
inputs = {name: rng.standard_normal((5, 8), np.float32) for name in graph.input_names}
by_numpy = evaluate(graph, inputs)["y"]
by_tvm = run_relax(graph, inputs)["y"]
by_minicc = minicc.compile(graph).run(inputs)["y"]
print("greatest distance of TVM's answer from NumPy's:    ", np.abs(by_tvm - by_numpy).max())
print("greatest distance of minicc's answer from NumPy's: ", np.abs(by_minicc - by_numpy).max())
np.testing.assert_allclose(by_tvm, by_numpy, rtol=1e-5, atol=1e-6)

# %% [markdown]
# They are close, and not equal: additions in another order round differently. How close is close enough? To
# choose a number by feeling hides small bugs or raises false alarms. `agree` derives a bound for each element: it
# runs the reference in float64, disturbs every rounding, and looks how far the result moves. It asks every
# stage in turn: our loops run as Python, our machine code, and TVM, in a process of its own, which may crash.

# %%
agree(graph, inputs, stages=("numpy", "loop", "llvm", "relax"))
print("all four agree")

# %% [markdown]
# The way leads back, too: `from_relax` makes a graph of a module, so a model that you have in TVM comes over.

# %%
back = from_relax(module)
print(back)
np.testing.assert_array_equal(
    evaluate(back, dict(zip(back.input_names, inputs.values(), strict=True)))["out"], by_numpy
)

# %% [markdown]
# ## 2. A difference of opinion
#
# What is the maximum of 1 and NaN? ONNX follows NumPy: NaN, so that no error passes unseen. TVM computes
# `a > b ? a : b`, and every comparison with NaN is false.

# %%
a, b = np.float32([np.nan, 1, 3]), np.float32([1, np.nan, 2])
left, right = (input(name, TensorType(float32, (3,))) for name in "ab")
maximum = Graph("maximum", (left, right), (ops.Max()(left, right),), ("y",))
ours, theirs = minicc.compile(maximum).run({"a": a, "b": b})["y"], run_relax(maximum, {"a": a, "b": b})["y"]
print("minicc:", ours, "  TVM:", theirs)
assert np.isnan(ours[:2]).all() and not np.isnan(theirs).all()

# %% [markdown]
# Neither is a bug: the two define the operator differently. Such cases are known, and stand in one table, each with an
# example that shows it and with a condition on the *values*. Where it holds, `agree` does not ask TVM about what such
# a node computes and about all that depends on it, and about nothing else. An excuse that covers a whole operator
# would hide the next real bug.

# %%
for difference in differences.DIFFERENCES[:5]:
    print(f"{difference.name:24} ours: {difference.ours}; Relax: {difference.relax}")
print(f"... and {len(differences.DIFFERENCES) - 5} more\n")
known = differences.differences_of(ops.Max(), [a, b], "relax")
print(
    "for these arrays:",
    [d.name for d in known],
    "- without the NaN:",
    differences.differences_of(ops.Max(), [a[2:], b[2:]], "relax"),
)
assert [d.name for d in known] == ["maximum of NaN"]
agree(maximum, {"a": a, "b": b}, stages=("llvm", "relax"))  # excused, and so nothing is raised

# %% [markdown]
# ## 3. Examples that nobody thought of
#
# A person tests shapes like 2 x 3. Bugs live in the shape (0, 1, 7), in a broadcast along the middle axis, in the
# least integer. *Property-based testing* states what must always hold, and lets a machine look for a counterexample.
# `graphs` draws random graphs with arrays for their inputs; `@given` from the library *hypothesis* runs the test on
# each of them. If one fails, hypothesis makes it smaller as long as it fails, and shows the smallest.

# %%
NAMES = ["Add", "Mul", "Max", "Relu", "Transpose", "ReduceSum", "Concat", "Softmax", "Slice", "MatMul"]
seen = []


@settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(graphs(max_nodes=4, names=NAMES))
def test_every_stage_agrees(example):
    agree(example.graph, example.inputs, stages=("numpy", "llvm", "relax"))
    seen.append(example.graph)


test_every_stage_agrees()
print(f"{len(seen)} graphs agree; among their shapes are {sorted({n.shape for g in seen for n in g.nodes})[:8]}")

# %% [markdown]
# Does the test see anything at all? A test that cannot fail is worth nothing, so we plant a bug: the definition of `Relu`
# from which loops and machine code are made now lets small negative numbers through. The search finds it, and makes
# it small.

# %%
right = vars(ops.Relu)["scalar"]
ops.Relu.scalar = lambda self, x: select(x > -0.5, x, 0.0)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
)
@given(graphs(max_nodes=3, names=["Relu", "Add"]))
def test_machine_code(example):
    agree(example.graph, example.inputs, stages=["llvm"])


try:
    test_machine_code()
    found = None
except Disagreement as disagreement:
    found = disagreement
finally:
    ops.Relu.scalar = right
assert found is not None, "the planted bug was not found"
print(found)

# %% [markdown]
# ## 4. Two compilers, two ways to fuse
#
# A value that is used at once need not go through memory. So both compilers *fuse* operators into one
# function: minicc calls it a kernel, TVM a group. The rules differ, and so do the results. Here both get the same
# graph: the attention from above, followed by a few steps that show where opinions part.

# %%
x = ops.Relu()(ops.MatMul()(weights, values))
longer = Graph("longer", graph.inputs, (ops.Exp()(ops.ReduceSum((1,))(x)),), ("y",))
comparison = compare_fusion(before_fusion(longer))
print(comparison)
assert {mark for region in comparison.regions for mark in region.marks} >= {"same", "split"}
assert all("comm-reduce" in why or "out-elementwise-fusable" in why or "injective" in why for why in comparison.reasons)

# %% [markdown]
# Read the reasons: none was written for this graph. minicc knows six *kinds* of operators, TVM reads a *pattern* off
# the loops of each function, and each reason names the rule that decided. `minicc fusion model.onnx --picture fusion.html`
# draws the two beside each other.
#
# ## 5. Loops for a GPU
#
# TVM can do more than judge. Its code generators know processors that minicc does not know: graphics processors, for one.
# A GPU runs one small program in thousands of threads, and in a schedule this is a loop that is *bound* to an
# axis of threads: 64 neighbouring elements become a block of 64 threads.

# %%
n = te.var("n")
A, B = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
C = te.compute((n,), lambda i: A[i] + B[i], name="C")
s = te.create_schedule(C.op)
block, thread = s[C].split(C.op.axis[0], factor=64)
s[C].bind(block, te.thread_axis("blockIdx.x"))
s[C].bind(thread, te.thread_axis("threadIdx.x"))
print(minicc.lower(s, [A, B, C], name="vecadd"))

# %% [markdown]
# It is still an ordinary loop program: it runs here, as any other, and that is how it is tested.

# %%
f = minicc.build(s, [A, B, C], name="vecadd")
first, second = rng.standard_normal((2, 100), np.float32)
result = np.zeros(100, np.float32)
f(first, second, result)
np.testing.assert_array_equal(result, first + second)

# %% [markdown]
# TVM's generator turns the same program into CUDA C++. The loops over threads are gone: in their place every thread
# asks which one it is. What was the guard of the split, for sizes that 64 does not divide, keeps the last threads
# from writing past the end.

# %%
source = minicc.build(s, [A, B, C], target="cuda", name="vecadd").source()
print(source[source.rindex('extern "C"') :])
assert "blockIdx.x" in source and "threadIdx.x" in source

# %% [markdown]
# The source needs no GPU; with `nvcc` it becomes machine code, and a *package* of it runs where there is a driver.
# `target="emulated"` runs the threads of the very same source on this machine, one after the other.
