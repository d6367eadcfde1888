# %% [markdown]
# # A5: A fusion pass
#
# Why is a compiler faster than NumPy, although NumPy's loops are as good? Because NumPy writes every value to memory, and reads it again. A *kernel*
# computes several operators in one loop, and what is between them never leaves the registers. Which operators go together? You decide,
# with five questions, for any graph.

# %%
import numpy as np

from minicc import ops
from minicc.graph import Graph, input
from minicc.graph.fuse import Group, as_kernels
from minicc.ops.base import Kind
from minicc.types import TensorType, float32

x = input("x", TensorType(float32, (64, 64)))
weights = np.ones((64, 64), np.float32)
product = ops.MatMul()(ops.Tanh()(x), weights)
y = ops.Mul()(product, ops.Sigmoid()(ops.Add()(product, np.ones(64, np.float32))))
graph = Graph("gated", (x,), (y,), ("y",))
graph

# %% [markdown]
# Five operators. One by one, each reads what the one before it wrote: how many bytes is that?


# %%
def traffic(graph):
    """The bytes that all operators of a graph read and write, constants aside."""
    nodes = [n for n in graph.nodes if n.op.name not in ("Input", "Constant")]
    return sum(v.type.bytes for n in nodes for v in (n, *n.inputs) if v.op.name != "Constant")


print(f"{traffic(graph):,} bytes")

# %% [markdown]
# ## A plan
#
# A kernel to be is a set of operators, its members, with one output. Here four of the five are put together by hand, and `as_kernels` makes a graph of
# the plan: its nodes are kernels, and each has a small graph inside.

# %%
by_name = {n.op.name: n for n in graph.nodes}
members = {by_name[name] for name in ("MatMul", "Add", "Sigmoid", "Mul")}
gated = Group(members, y, product, {product})
alone = Group({by_name["Tanh"]}, by_name["Tanh"], None, set())
fused = as_kernels(graph, {**dict.fromkeys(members, gated), by_name["Tanh"]: alone})
print(fused)
print(f"{traffic(fused):,} bytes")
assert traffic(fused) < traffic(graph) / 2

# %% [markdown]
# As a picture: what stands in one box is one kernel.

# %%
fused

# %% [markdown]
# ## What an operator is like
#
# The question is always which elements an operator needs for one element of its result. That is its kind:

# %%
for op in (ops.Sigmoid, ops.Add, ops.Transpose, ops.ReduceSum, ops.MatMul):
    print(f"{op.__name__:10} {op.kind.name.lower()}")
assert ops.Add.kind is Kind.BROADCAST

# %% [markdown]
# ## The walk
#
# `partition` in `fusion.py` goes from the outputs back to the inputs. When it comes to an operator, everything that reads it has its kernel already. So
# the question is only: *does it join the kernel of its readers?* There are five parts to the answer.
#
# - **5.1 Chains.** Relu behind Neg: one loop. But where a row is stretched to a matrix, each of its elements is needed many times; what
#   computes the row stays outside, or it would run as often.
# - **5.2 Epilogues.** A product is finished element by element, and what follows may be done to each element at once, as long as the loops are the
#   same: the shape is kept, nothing moves. A kernel has one heart; two products are two kernels.
# - **5.3 Shared values.** A value that two read is computed once. If both readers are in one kernel it joins them: that is a diamond, such as the one
#   above. If they are not, it stays. And a kernel gives one value, so what is an output of the graph ends a kernel.
# - **5.4 Beside a heart.** A sum reads each element once, and can as well compute it; a product reads each one many times. What comes from
#   the side into an epilogue must be in its shape.
# - **5.5 Reasons.** A compiler that cannot say why is hard to believe. For each edge that is still between two kernels, you tell why.
#
# ## Out and back
#
# Here is the trap. Suppose that `Relu` joins `Add`, which reads it. Then `MatMul`, which needs Relu and which Add needs, would have to
# run after the beginning of that kernel, and before its end.

# %%
r = ops.Relu()(x)
Graph("out and back", (x,), (ops.Add()(r, ops.MatMul()(r, weights)),), ("y",))

# %% [markdown]
# You need not look for circles, though. If every member but the last is read by members only, no path can leave a kernel and come
# back. Can you see why?
#
# ## Your pass in minicc
#
# `fuse` at the end of `fusion.py` is a pass: `minicc.compile(model, passes=pipeline(replace={"fuse": fuse}))`. What a function that is
# open would decide is not fused, and right all the same.
#
# ## What was not told
#
# minicc takes hearts first, along post-dominators, as TVM does (Chen et al., OSDI 2018), and ends a kernel where its value takes the fewest
# bytes (`minicc/graph/fuse.py`). Neither of the two makes the fewest kernels possible: that problem is hard, and nobody needs the best answer.
