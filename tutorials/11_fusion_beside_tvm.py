# %% [markdown]
# # Fusion, beside TVM
# <!-- needs: tvm -->
#
# A network has hundreds of operators. Its compiled program makes fewer calls, as several operators share one. Three
# compilers look at the same small network, and no two of them group its operators in the same way. **Who decides what runs
# together, and by which rules?**
#
# The other two compilers are TVM: the one of today, with its language Relax, and the one of 2019 to 2025, with
# Relay. Today's is needed here: `pip install "apache-tvm==0.27.0.post1" "apache-tvm-ffi==0.1.14.post1"`. The old one
# lives in an environment of its own, which `minicc doctor --setup-relay` makes. Where that is absent, this page shows
# two compilers beside each other, and everything else is the same.

# %%
import re
from importlib import resources

import numpy as np
from tvm import relax

import minicc
from minicc import ops, te
from minicc.bridge.environment import has_relay
from minicc.bridge.relax import call_relax, build_relax, to_relax
from minicc.course.checks import lesson_11 as check
from minicc.explain.fusion import before_fusion, compare_fusion
from minicc.graph import Graph, Kernel, bind, evaluate, fuse, input
from minicc.graph.fuse import partition
from minicc.types import TensorType, float32

DIALECTS = ("relay", "relax") if has_relay() else ("relax",)
print("beside minicc:", ", ".join(DIALECTS))
rng = np.random.default_rng(0)


def weights(*shape):
    return rng.standard_normal(shape, np.float32) / 10


# %% [markdown]
# ## 1. What a trip through memory costs
#
# Here are three steps on a vector: double it, add one, and drop what is negative. Written as three loops, each step
# stores its result, and the next one loads it again.

# %%
N = 1024
X = te.placeholder((N,), name="X")
doubled = te.compute((N,), lambda i: X[i] * 2.0, name="doubled")
plus_one = te.compute((N,), lambda i: doubled[i] + 1.0, name="plus_one")
Y = te.compute((N,), lambda i: te.maximum(plus_one[i], 0.0), name="Y")
apart = te.create_schedule(Y.op)
print(apart.counts())

# %% [markdown]
# Nobody asked for `doubled`. With `compute_inline` each step is computed where it is read, and only X and Y are
# left:

# %%
together = te.create_schedule(Y.op)
together[doubled].compute_inline()
together[plus_one].compute_inline()
print(together.counts())
memory = [s.counts() for s in (apart, together)]
assert [m.loads + m.stores for m in memory] == [6 * N, 2 * N]
together.picture(kind="nest")

# %% [markdown]
# A third of the traffic, and the arithmetic is what it was. On a processor that computes faster than it loads, and
# all do, the loop that loads less is the faster one.
#
# But `compute_inline` is about loops, and somebody has to call it. In a compiler of networks the decision falls
# earlier, when there are only operators. Fusion groups the operators of a graph so that each group
# becomes one function: a kernel. Inside of a kernel values need not go through memory; between kernels they must.
#
# For a graph the cost is easy to count: each kernel reads its inputs once, and writes its output once.


# %%
def traffic(graph):
    """Bytes that the operators, or kernels, of a graph read and write, each value once for each of them."""
    calls = [n for n in graph.nodes if n.op.name not in ("Input", "Constant")]
    return sum(n.type.bytes + sum(i.type.bytes for i in dict.fromkeys(n.inputs)) for n in calls)


x = input("x", TensorType(float32, (N,)))
chain = Graph("chain", (x,), (ops.Relu()(ops.Add()(ops.Mul()(x, np.float32(2)), np.float32(1))),), ("y",))
fused = fuse(chain)
print("kernels:", [n.op.label for n in fused.nodes if isinstance(n.op, Kernel)])
print("bytes:", traffic(chain), "before,", traffic(fused), "after")
assert traffic(fused) == 2 * N * 4, "one vector in, one out"

# %% [markdown]
# ## 2. What may follow what
#
# Why not put everything into one kernel? Because some operators do not fit into each other. What decides is how the
# elements of the output depend on those of the input, and there are only a few ways. In minicc every operator says
# its *kind*:
#
# - An **elementwise** operator computes each element from the one at the same place: `Relu`, `Exp`. *Broadcast* is the
#   same, with an input that is repeated: the addition of a bias.
# - An **injective** operator moves elements, and computes nothing: `Transpose`, `Concat`, `Slice`.
# - A *reduction* computes one element from many, each of which is used once: a sum, a maximum.
# - An **anchor** uses each input many times: a convolution, a product of matrices. Nearly all of the time goes there.
# - *Opaque* is all else, which stands alone.

# %%
for op in (ops.Relu(), ops.Add(), ops.Transpose(), ops.ReduceSum((1,)), ops.Conv(), ops.MatMul(), ops.TopK()):
    print(f"{op.name:12} {op.kind.name.lower()}")

# %% [markdown]
# Now suppose that `Exp` were computed inside the loops of a convolution that reads it. A convolution of 3 x 3 reads
# each element nine times for each output channel, so that we would compute the same `Exp` hundreds of times. Nothing
# joins what an anchor *reads*. But what *follows* an anchor is free: when an element of the result is complete and still
# in a register, add the bias and apply the `Relu`, then store. What follows in the same kernel is its **epilogue**.
#
# So a kernel has at most one heart, an anchor or a reduction; an epilogue behind it; and before a reduction, what it
# reads once.
#
# ## 3. Where paths meet
#
# That would be all if networks were chains. Here is a residual block, as in ResNet: two convolutions, and a shortcut
# around them which has a small convolution of its own. Then a mean, and two steps for the fun of it.

# %%
image = input("image", TensorType(float32, (1, 8, 16, 16)))
first = ops.Relu()(ops.Add()(ops.Conv(padding=(1, 1, 1, 1))(image, weights(8, 8, 3, 3)), weights(1, 8, 1, 1)))
second = ops.Add()(ops.Conv(padding=(1, 1, 1, 1))(first, weights(8, 8, 3, 3)), weights(1, 8, 1, 1))
shortcut = ops.Conv()(image, weights(8, 8, 1, 1))
mean = ops.ReduceMean((2, 3))(ops.Relu()(ops.Add()(second, shortcut)))
residual = Graph("residual", (image,), (ops.Exp()(ops.Neg()(mean)),), ("y",))
residual

# %% [markdown]
# Look at a value that is read twice, such as `image`, were it computed. It could join both of its readers only if
# they were in one kernel. The question is always: where do all ways from here meet again? The **post-dominator** of
# an operator is the first one that every way from it to the end goes through. Only up to there can its epilogue go,
# and then with all that is between. By hand: list all ways, keep what is on all of them, take the first.


# %%
def ways(graph, n):
    """Every way from a node to the output, without itself."""
    if n in graph.outputs:
        return [[]]
    return [[reader, *rest] for reader in graph.users()[n] for rest in ways(graph, reader)]


def post_dominator(graph, n):
    """The first node that is on every way."""
    found = ways(graph, n)
    return next((m for m in found[0] if all(m in way for way in found)), None)


ready = before_fusion(residual)
groups = partition(ready)
for n in groups.nodes:
    assert post_dominator(ready, n) is groups.after[n]
    print(f"{n.op.name:12} -> {groups.after[n].op.name if groups.after[n] else 'the end'}")
start = next(n for n in ready.nodes if n.op.name == "Input")
print("image        ->", post_dominator(ready, start).op.name, "after", len(ways(ready, start)), "ways")
assert post_dominator(ready, start).op.name == "Add"

# %% [markdown]
# A graph with thousands of branches has more ways than atoms in the world, so minicc finds the same in one walk from
# the end to the beginning; you have just checked it.
#
# ## 4. A reason for every edge
#
# Now the groups. minicc goes through the anchors, then the reductions, and lets each take what follows; then every
# light operator joins its readers if it may. Each time it notes why, and why not.

# %%
for kernel in dict.fromkeys(groups.of.values()):
    print(kernel.label)
print()
for (producer, consumer), why in groups.why.items():
    if producer.op.name != "Constant" and groups.of[producer] is not groups.of[consumer]:
        print(f"{producer.op.name} | {consumer.op.name}: {why}")
assert {k.label for k in groups.of.values()} == {"conv_add_relu", "conv_add", "reduce_mean_neg_exp"}

# %%
fuse(ready)

# %% [markdown]
# The residual addition is the interesting one. Two convolutions end in it, and a kernel has one heart: with which of
# them does it run? minicc says with the *later*. When that one has finished an element, the other is complete and
# waits in memory.
#
# ## 5. Three compilers, one graph
#
# TVM's rules come from the same idea, its first paper (Chen and others, 2018). Every step has a *pattern*, and a
# table says what may follow what. Here they are side by side. What runs together has one hull; numbers stand on the
# edges that not all have fused.

# %%
comparison = compare_fusion(ready, DIALECTS)
print(comparison.summary)
for number, reason in enumerate(comparison.reasons, 1):
    print(f"{number}. {reason}")
assert {"same", "regrouped"} <= {mark for region in comparison.regions for mark in region.marks}
comparison

# %% [markdown]
# Read the reasons; none was written for this graph.
#
# **The two convolutions.** TVM also allows one heavy step in a group (its word for an anchor is *out-elementwise-fusable*:
# what is elementwise may follow). But the pass that makes its groups walks forward, so that the *first* of the two takes
# the addition. Both are right, and cost the same here.
#
# **The mean.** Relay says that nothing follows a reduction: the mean is stored, and two cheap operators run in a
# function of their own. Relax fuses them, though its rule for reductions is the same! The difference is where a
# pattern comes from. In Relay somebody wrote it down beside the operator: `mean` is `kCommReduce`. Relax *reads it off
# the loops*. A mean is two loops there, a sum and a division, and what ends with a division may be followed by more
# elementwise steps. So Relax can classify a function that nobody has heard of.

# %%
if has_relay():
    edge = next(e for e in comparison.differences if e.producer.op.name == "ReduceMean")
    print(edge.why())
    assert edge.fused == {"minicc": True, "relay": False, "relax": True}
else:
    print("Relay is not here: `minicc doctor --setup-relay` brings it, in a minute")

# %% [markdown]
# And a network that was really trained, the one that reads digits? Here all are of one opinion:

# %%
model = minicc.load(resources.files("minicc.cli").joinpath("digits/digits.onnx").read_bytes())
digits = compare_fusion(before_fusion(bind(model, {"batch": 1})), DIALECTS)
print(digits.summary)
assert not digits.differences
digits

# %% [markdown]
# ## 6. The wall, and the hole in it
#
# There is a reason why Relax can look at loops and Relay could not. In Relay, graphs stand on one side and loops on
# the other: an operator is a name, and its loops are made when a group is compiled, long after all decisions. In Relax
# there is one thing for both, a *module*, which has functions of either kind. A pass called `LegalizeOps` replaces each
# operator by a call of a loop function *that lies in the same module*:

# %%
module = relax.transform.LegalizeOps()(to_relax(Graph("chain", (x,), chain.outputs, ("y",))))
text = re.sub(r" */\*.*?\*/", "", module["main"].script(show_meta=False), flags=re.DOTALL)
print("\n".join(line for line in text.splitlines() if "call_tir" in line))
assert text.count("call_tir") == 3

# %% [markdown]
# `call_tir` means: make a tensor of this type, let the loop function fill it, and that is the value. A function that
# is handed the memory for its result works by **destination passing**. In the graph still nobody changes a value that
# somebody else may read, and passes may look at both sides of the call: read a pattern off the loops, then merge two
# loop functions into one.
#
# minicc has the hole in another place: a kernel *is* a small graph, so a fused graph can still be evaluated by NumPy;
# and the same kernel has loops, which lie beside it. So everybody can be asked for the answer:

# %%
inputs = {"image": weights(1, 8, 16, 16)}
answers = {
    "graph": evaluate(residual, inputs)["y"],
    "fused graph": evaluate(fuse(ready), inputs)["y"],
    "minicc": minicc.compile(residual, threads=1).run(inputs)["y"],
    "Relax": call_relax(build_relax(to_relax(residual)), 0, residual, inputs)["y"],
}
for name, answer in answers.items():
    print(f"{name:12}", answer.ravel()[:4])
    assert np.allclose(answer, answers["graph"], rtol=1e-3, atol=1e-5)

# %% [markdown]
# ## 7. What changed between Relay and Relax
#
# | | Relay | Relax | minicc |
# | --- | --- | --- | --- |
# | an unknown size | `?`, each for itself | a symbol, and formulas of it | a symbol, until sizes are bound |
# | pattern of an operator | written beside it | read off its loops | written beside it, as its kind |
# | graph and loops | two worlds | one module, joined by `call_tir` | a kernel is a graph and has loops |
# | what follows a reduction | nothing | what its last loop allows | an epilogue |
# | schedules | te, one for each operator and processor | rewrites of loops | rewrites of loops, with te's names |
#
# None of Relay's choices was a mistake: pictures had one size, and a good schedule was a work of hands. But they held
# each other up, so that nothing could be replaced alone. Relax was built beside it, and in February 2025 Relay was
# removed. TVM 0.19 is the last release that has it.

# %%
# for exercise 1
picture = input("picture", TensorType(float32, (1, 4, 12, 12)))
biased = ops.Add()(ops.Conv()(ops.Abs()(picture), weights(4, 4, 3, 3)), weights(1, 4, 1, 1))
puzzle = Graph("puzzle", (picture,), (ops.Exp()(ops.MaxPool(kernel=(2, 2))(ops.Relu()(biased))),), ("y",))
puzzle

# %% [markdown]
# ### Exercise 1
#
# Predict minicc's kernels of the graph above. Answer with a list of lists of names, as they are printed: `[["Conv", "Add"],
# ["Relu"], ...]`. (No name occurs twice.)
#
# <details><summary>Hint</summary>
# The windows of this `MaxPool` are 2 x 2, and overlap. How often is each element used, and which kind is that?
# </details>

# %%
answer = ...
check.ex1(answer, puzzle)

# %%
# for exercise 2
rows = input("rows", TensorType(float32, (8, 32)))
activated = ops.Relu()(ops.Add()(ops.MatMul()(rows, weights(32, 16)), weights(16)))
stopped = Graph("stopped", (rows,), (ops.Tanh()(ops.Mul()(activated, weights(4, 8, 16))),), ("y",))
stopped

# %% [markdown]
# ### Exercise 2
#
# Somewhere in the graph above the epilogue of the product ends before the end. Between which two operators, and why?
# Answer with both names and a letter, such as `("MatMul", "Relu", "a")`:
#
# - **a**: the value is an output of the graph
# - **b**: the epilogue keeps the shape, and the next operator does not
# - **c**: the next operator is the heart of a kernel of its own
# - **d**: the value has two readers that meet nowhere
#
# <details><summary>Hint</summary>
# A bias of 16 numbers and a matrix of 8 x 16: what is the shape of their sum? And what if the matrix is 8 x 16 and the
# other one 4 x 8 x 16?
# </details>

# %%
answer = ...
check.ex2(answer, stopped)

# %%
# for exercise 3
grey = input("grey", TensorType(float32, (256, 256)))
scaled = ops.Sigmoid()(grey)
savings = Graph("savings", (grey,), (ops.Add()(ops.Mul()(scaled, grey), ops.Tanh()(scaled)),), ("y",))
savings

# %% [markdown]
# ### Exercise 3
#
# How many bytes less does `savings`, the graph above, move when it is fused, counted as `traffic` does? Do it on paper
# first: which values are no longer stored, and how often was each of them read?

# %%
answer = ...
check.ex3(answer, savings)

# %% [markdown]
# ## Words
#
# - **elementwise**: of an operator: each element is computed from the one at the same place
# - **injective**: of an operator: it moves elements and computes nothing
# - **anchor**: the operator of a kernel that uses each input many times, such as a convolution
# - **epilogue**: what is computed behind the heart of a kernel, before the result is stored
# - **post-dominator**: the first operator that every way from another one to the end goes through
# - **destination passing**: a function is handed the memory for its result

# %% [markdown]
# ## What was not told
#
# - Fewer bytes are not always faster: a kernel that holds too much runs out of registers, and 32 operators are the most
#   that minicc puts into one. Where the better of two groupings depends on sizes, XLA and Apollo have cost models.
# - Two anchors in one kernel can pay off, if a tile of the first is all that a tile of the second needs. FlashAttention
#   is such a kernel; minicc has it as an operator of its own, not as a rule of fusion.
# - Of Relay as a language we showed nothing: functions as values, `let`, patterns, recursion. Its paper (Roesch and
#   others, 2018) is short and worth reading; that of Relax (Lai and others, 2023) says what was wrong with it.
# - All rules of TVM's partitioner: `minicc fusion model.onnx --rules`. The same comparison for your own model:
#   `minicc fusion model.onnx --picture fusion.html`.
