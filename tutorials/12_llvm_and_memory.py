# %% [markdown]
# # LLVM, and where values live
#
# A schedule says in which order everything is computed. Two questions are left before a model runs. *What becomes of a
# loop on the way to the processor, and who decides there? And where do the values between the kernels live, when some of
# them are dead before others are born?*
#
# The first answer is: LLVM, and much less than one may think. The second is a small puzzle, and we solve it by hand.

# %%
import itertools
from importlib import resources

import numpy as np

import minicc
from minicc import ops, te
from minicc.codegen.llvm import emit
from minicc.course.checks import lesson_12 as check
from minicc.explain.draw_listing import CodeRow, listing
from minicc.graph import Graph, bind, constant, input
from minicc.kernels.lower import finish
from minicc.runtime import jit
from minicc.runtime.plan import Lifetime, plan
from minicc.target import Target
from minicc.types import TensorType, float32

# %% [markdown]
# ## 1. From loops to LLVM, line by line
#
# A matrix times a vector: two loops, one statement.

# %%
haswell = Target.of("haswell")


def matrix_vector(n, m):
    """`y[i]`, the sum of `A[i, k] * x[k]`, and a schedule of it."""
    A, x = te.placeholder((n, m), name="A"), te.placeholder((m,), name="x")
    k = te.reduce_axis((0, m), name="k")
    y = te.compute((n,), lambda i: te.sum(A[i, k] * x[k], axis=k), name="y")
    return te.create_schedule(y.op), [A, x, y]


def emitted(s, tensors, target=haswell):
    """LLVM as minicc writes it, before LLVM has seen it."""
    module = jit.new_module("kernel", target)
    emit(module, finish(minicc.lower(s, tensors, "f")), target)
    return str(module)


def optimized(text, target=haswell):
    """What LLVM makes of it."""
    return jit.Code(text, b"", target).optimized


def body(text):
    """The lines of the function, without quotes and what they do not need."""
    lines = [" ".join(line.replace('"', "").split()) for line in text.splitlines()]
    first = next(n for n, line in enumerate(lines) if line.startswith("define"))
    return [
        line.partition(" ;")[0] for line in lines[first + 1 :] if line not in ("{", "}", "") and line[0] not in ";!"
    ]


s, tensors = matrix_vector(8, 32)
final = finish(minicc.lower(s, tensors))
print(final)

# %% [markdown]
# Each of its lines becomes a few lines of LLVM's language. The picture has a colour for each purpose:


# %%
def purpose(line):
    """What a line of LLVM is for."""
    if line.endswith(":") or any(word in line for word in ("phi i64", "br ", "icmp", "add nuw", "ret ")):
        return "loop"
    if "getelementptr" in line or any(word in line for word in ("mul i64", "shl ", "add i64")):
        return "address"
    return "memory" if "load" in line or line.startswith("store") else "arithmetic"


COLOURS = {"loop": "soft", "address": "c2", "memory": "c1", "arithmetic": "c3"}
MEANING = {
    "loop": "counts and jumps", "address": "computes an address", "memory": "loads or stores",
    "arithmetic": "computes with numbers",
}  # fmt: skip


def picture(title, text):
    """The lines of a function, coloured."""
    rows = [
        CodeRow(line) if line.endswith(":") else CodeRow(f"    {line}", COLOURS[purpose(line)])
        for line in body(text)
        if not line.startswith("attributes")
    ]
    return listing(title, rows, [(COLOURS[kind], words) for kind, words in MEANING.items()])


before = emitted(s, tensors)
picture("As minicc emits it", before)

# %% [markdown]
# Read it from top to bottom.
#
# - A name with a colon begins a **basic block**: lines that run one after the other, and end with a jump (`br`). A loop is a block that
#   jumps back to its beginning.
# - Each name on the left is assigned by one line only. That is called **static single assignment**, and it is why LLVM can see at once
#   where a value comes from. But a loop variable changes! So a block may begin with a **phi**: `phi i64 [0, start], [.22, for.k]` is
#   0 for who comes from `start`, and `.22` for who comes from `for.k`. That is all that a `for` is.
# - `getelementptr` computes an address, which is a place in memory: from an address that is known, called a *pointer* (`ptr`), and an
#   index, counted in elements. `A[i, k]` takes two of them: 32 elements for each `i`, then `k` more. An address is never a plain
#   integer here. So LLVM knows for each load and store which buffer it is in, and that it is in no other.
# - The rest is what it looks like. `fmul` multiplies, `fadd` adds, `load` and `store` are what we have counted in all lessons.
#
# ### What the small words promise
#
# The first line of the function, which the picture left out, names what it is given:

# %%
first_line = next(line for line in before.splitlines() if line.startswith("define"))
print(first_line.replace('"', ""))
assert first_line.count("noalias") == 4

# %% [markdown]
# `noalias` says of a pointer that no other one leads to its memory: `y` is not a part of `A`. `nuw nsw` says that a counter never
# overflows. `contract` says that this product and this sum may become one fused multiply-add, which rounds once. Each is a
# promise that minicc has checked or that you have made. LLVM believes it.
#
# `contract` stands only where a sum is being reduced, as its rounding is loose already. `A[i] * 2 + 1` has none: each
# operation is rounded as NumPy rounds it, and no fused instruction may come of it. And where the target asks to be *exact*, the sum has none, too.

# %%
A = te.placeholder((64,), name="A")
B = te.compute((64,), lambda i: A[i] * 2.5 + 1.0, name="B")
scaled = te.create_schedule(B.op)
texts = {
    "a sum of products": minicc.build(s, tensors, target=haswell).source("asm"),
    "times and plus": minicc.build(scaled, [A, B], target=haswell).source("asm"),
    "a sum, exact": minicc.build(s, tensors, target=haswell.rounding_all()).source("asm"),
}
print({name: text.count("vfmadd") for name, text in texts.items()})
assert ["vfmadd" in text for text in texts.values()] == [True, False, False]
assert (before.count("contract"), emitted(scaled, [A, B]).count("contract")) == (2, 0)
assert "contract" not in emitted(s, tensors, haswell.rounding_all())

# %% [markdown]
# ### Exercise 1
#
# Here is another program, as LLVM. It reads a matrix `A`. Which element of `A` does it load in trip `j` of the outer loop and trip
# `k` of the inner one, counted in elements from the beginning of `A`? `answer` is a function that gives the number.
#
# <details><summary>Hint</summary>
# Follow the address of the load backwards, through both `getelementptr`. How much is added for `j`, how much for `k`?
# </details>

# %%
picture("What is this loop?", check.PUZZLE)


# %%
def answer(j, k):
    return ...


check.ex1(answer)

# %% [markdown]
# ## 2. What LLVM adds
#
# Then LLVM's own passes run. Here is the same function behind them.

# %%
after = optimized(before)
picture("Behind LLVM's passes", after)

# %% [markdown]
# Two things have changed in the inner loop.
#
# - The sum is a `phi float` now. Before, each step loaded it from `y` and stored it back. `noalias` allowed LLVM to keep it in a
#   register, and to store it once, behind the loop.
# - The address of the row, 32 elements for each `i`, is computed outside of the loop over `k`. It does not depend on that.
#
# We count the lines of the inner loop by their purpose:


# %%
def inner(text):
    """The block of the loop over k."""
    lines = body(text)
    start = lines.index("for.k:")
    end = next(n for n in range(start + 1, len(lines)) if lines[n].endswith(":"))
    return lines[start:end]


def by_purpose(text):
    kinds = [purpose(line) for line in inner(text) if "phi float" not in line]
    return {kind: kinds.count(kind) for kind in COLOURS}


print("before:", by_purpose(before))
print("after: ", by_purpose(after))
assert by_purpose(before) == {"loop": 5, "address": 4, "memory": 4, "arithmetic": 2}
assert by_purpose(after) == {"loop": 5, "address": 2, "memory": 2, "arithmetic": 2}

# %% [markdown]
# And then it chooses instructions and registers. That is a lot of work which we do not have to do.
#
# ### What it does not do
#
# LLVM could also cut loops, turn them into vectors, and unroll them. minicc has this switched off: the *schedule* decided. The loops that we
# wrote are the loops that run, 8 trips and 32, and there is a vector in the machine code if there is a `vectorize` in the trace.

# %%
assert "eq i64 %.22, 32" in after and " x float>" not in after
in_vectors, given = matrix_vector(8, 32)
outer, lane = in_vectors["y"].split("i", factor=8)
in_vectors["y"].reorder(outer, "k", lane)
in_vectors["y"].vectorize(lane)
assert "<8 x float>" in optimized(emitted(in_vectors, given))

# %% [markdown]
# Nor does minicc's own code generator decide anything. All that it does is one `match` over the statements of the program above: a loop, a
# store, a buffer. What kind a loop is, and whether a buffer lives in registers, on the stack or in memory that the caller brings, was decided by
# a pass over loops, and is printed:

# %%
s, (A, x, y) = matrix_vector(8, 32)
s.cache_write(y, "local")
s["y_local"].compute_at(s["y"], s["y"].op.axis[0])
print(finish(minicc.lower(s, [A, x, y])))
assert "in registers" in str(finish(minicc.lower(s, [A, x, y])))

# %% [markdown]
# ### Exercise 2
#
# Three formulas, compiled for haswell. In which of them may the compiler use a fused multiply-add? `answer` has `True` or `False` for each.
#
# 1. `C[i] = A[i] * B[i] + 1`
# 2. `c = sum of A[k] * B[k]`
# 3. `C[i] = sum of A[i, k] * A[i, k], then times 2, plus 1`, where the sum is one kernel's and `times 2, plus 1` is fused with it

# %%
answer = ...  # {1: ..., 2: ..., 3: ...}
check.ex2(answer)

# %% [markdown]
# ## 3. Where values live
#
# Now a whole model: the network that reads digits, for one image. Its kernels run one after the other. What one writes and a
# later one reads has to be somewhere meanwhile. No memory is asked for at a call: there is *one* block, the
# **arena**, and the place of each value in it is known when the model is compiled.

# %%
model = minicc.load(resources.files("minicc.cli").joinpath("digits/digits.onnx").read_bytes())
exe = minicc.compile(bind(model, {"batch": 1}), target=haswell)
print(exe.stages["memory"])

# %% [markdown]
# A line is a call: what it reads `->` what it writes. `arena[8192:12288]` are bytes from 8,192 on. Some of the calls also need a
# *workspace* while they run, for packed inputs and the like. (The names of the kernels tell what was fused, and how it is computed:
# `winograd` is a way to convolve with fewer multiplications.)
#
# A value is alive from the call that writes it to the last one that reads it: that is its **lifetime**. Two values whose lifetimes have a call in
# common must lie apart. All others may share their memory. The picture has calls from left to right and bytes from top to bottom; no
# two boxes overlap.

# %%
exe.memory_plan.picture()

# %% [markdown]
# Nine values and workspaces, 24,320 bytes if each had a place of its own. The arena has 12,288, half of that. Can it be less? At each
# call all that is alive then must fit. The call that needs most needs 12,288 bytes. So no plan is better.

# %%
made = exe.memory_plan
print(f"arena {made.size:,} bytes, without sharing {made.unshared:,}; alive at each call: {made.in_use()}")
assert (len(made.lifetimes), made.size, made.unshared) == (9, 12288, 24320)
assert made.size == max(made.in_use())

# %% [markdown]
# ## 4. The puzzle
#
# How is such a plan found? Draw a point for each value, and a line between two that are alive at the same time. This is the **interference graph**. Whoever
# is joined by a line must get other bytes. It is like colouring a map, where neighbours get other colours, but our colours have sizes.
#
# To find the best plan is hard: nobody knows a fast way that always succeeds. A simple rule is good: *the largest value first, each in
# the lowest gap where it fits.* Large ones are hard to place, small ones fit in what is left.


# %%
def overlap(a, b):
    """Whether two lifetimes have a call in common."""
    return a.first <= b.last and b.first <= a.last


def place(values, unit=64):
    """An offset for each value, in whole units of bytes; the largest first, in the lowest gap."""
    room = [-(-v.size // unit) * unit for v in values]
    offsets = {}
    for n in sorted(range(len(values)), key=lambda n: (-room[n], values[n].first, n)):
        taken = sorted((offsets[m], offsets[m] + room[m]) for m in offsets if overlap(values[n], values[m]))
        at = 0
        for start, end in taken:
            if start - at >= room[n]:
                break
            at = max(at, end)
        offsets[n] = at
    return [offsets[n] for n in range(len(values))], max(offsets[n] + room[n] for n in offsets)


assert place(made.lifetimes) == (list(made.offsets), made.size)  # that is what minicc does
neighbours = [(a, b) for a, b in itertools.combinations(made.lifetimes, 2) if overlap(a, b)]
print(len(neighbours), "pairs of 36 must lie apart")
assert len(neighbours) == 10

# %% [markdown]
# The rule is not always the best. Here are five values of which at most 576 bytes are alive at once, and the rule takes 640. It puts `d` right
# behind `c`. When `c` is gone, `a` takes its place and leaves 64 bytes in front of `d`, too few for `b`, which must go behind.

# %%
five = [
    Lifetime(192, 3, 4, "a"),
    Lifetime(192, 3, 3, "b"),
    Lifetime(256, 0, 1, "c"),
    Lifetime(192, 1, 3, "d"),
    Lifetime(128, 0, 1, "e"),
]
wasteful = plan(five)
assert dict(zip("abcde", wasteful.offsets, strict=True)) == {"a": 0, "b": 448, "c": 0, "d": 256, "e": 448}
assert (wasteful.size, max(wasteful.in_use())) == (640, 576)
wasteful.picture()

# %% [markdown]
# ### Exercise 3
#
# Name two values of the digits network that may share memory, and whose sizes are more than 2,000 bytes both. These are their names:

# %%
for number, value in enumerate(made.lifetimes):
    print(f"{number}: {value.name:36} {value.size:5} bytes, alive in calls {value.first + 1} to {value.last + 1}")

# %%
answer = ...  # (number, number)
check.ex3(answer)

# %% [markdown]
# ### Exercise 4
#
# Six kernels, in this order; each writes one value. `p` reads the input; `q` reads `p`; `r` reads `p` and `q`; `s` reads `r`; `t` reads `q` and `s`; the
# last kernel reads `t` and writes the output, which is not in the arena. Sizes in bytes: `p` 256, `q` 128, `r` 512, `s` 256, `t` 128.
# How many bytes has the smallest arena?
#
# <details><summary>Hint</summary>
# Write down the lifetime of each: the number of the kernel that writes it, and of the last one that reads it. Then add up for each
# kernel what is alive while it runs.
# </details>

# %%
answer = ...
check.ex4(answer)

# %% [markdown]
# ## 5. Where a value costs nothing
#
# The best place is none at all. A reshape of an array that lies in one piece changes no byte: it is a **view**, the same memory under
# another shape. So it is no kernel, and has no place of its own. Its reader is told the new shape, that is all.

# %%
rng = np.random.default_rng(0)
x = input("x", TensorType(float32, (4, 6)))
weights = [constant(rng.random(shape, np.float32)) for shape in ((6, 8), (16, 5))]
hidden = ops.Relu()(ops.MatMul()(x, weights[0]))
reshaped = ops.MatMul()(ops.Reshape(shape=(2, 16))(hidden), weights[1])
exe = minicc.compile(Graph("reshaped", (x,), (reshaped,), ("y",)), target=haswell)
print(exe.stages["memory"])
assert len(exe.kernels) == 2 and exe.arena_bytes == 4 * 8 * 4

# %% [markdown]
# The second kernel reads the very bytes that the first one wrote. A concatenation need not cost anything either: its parts are written where the
# whole will be.

# %%
parts = [ops.Softmax()(ops.MatMul()(x, constant(rng.random((6, 8), np.float32)))) for _ in range(2)]
joined = ops.Softmax()(ops.MatMul()(ops.Concat(axis=0)(*parts), constant(rng.random((8, 5), np.float32))))
exe = minicc.compile(Graph("joined", (x,), (joined,), ("y",)), target=haswell)
print(exe.stages["memory"])
assert not any("concat" in kernel.label.lower() for kernel in exe.kernels)

# %% [markdown]
# ## Words
#
# - **basic block**: lines that run one after the other, up to a jump
# - **static single assignment**: each name is assigned in one place only
# - **phi**: a value that depends on where the block was entered from
# - **arena**: the one block of memory for all intermediate values of a call
# - **lifetime**: the calls from the one that writes a value to the last that reads it
# - **interference graph**: the values, with a line between those that must not share memory
# - **view**: the same memory under another shape

# %% [markdown]
# ## What was not told
#
# - LLVM's register allocator solves the puzzle of section 4 once more, for registers: values with lifetimes, few places, and what does not fit is
#   spilled. Colouring of an interference graph is how Chaitin did it in 1981.
# - `getelementptr` is not only style. LLVM 22 computes wrongly where addresses are made by arithmetic on integers.
# - Weights are not in the arena: they are constants, which all calls share. Inputs and outputs belong to the caller.
# - Two calls at the same time need two arenas. There is a pool of them.
# - Parallel loops become functions that threads of an OpenMP team run; a workspace has a part for each.
#
# Read on: [minicc/codegen/llvm.py](../minicc/codegen/llvm.py) and [minicc/runtime/plan.py](../minicc/runtime/plan.py); Pisarchyk and Lee, *Efficient
# Memory Management for Deep Neural Net Inference*, 2020, for the rule; the LLVM Language Reference for each word.
