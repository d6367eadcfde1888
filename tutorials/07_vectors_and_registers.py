# %% [markdown]
# # One core, and a loop that uses an eightieth of it
#
# A scalar product multiplies the elements of two vectors and adds up what comes out. Written down as it comes, it
# keeps one core busy all the time, and yet the core could do eighty times as much. *Where is the rest?*
#
# The answer has two factors, 8 and 10. We find both in the machine code, and count.

# %%
import numpy as np

import minicc
from minicc import te
from minicc.course.checks import lesson_07 as check
from minicc.explain.draw_curves import Curve, curves
from minicc.explain.hot_loop import draw_hot_loop, hot_loop, kind_of, multiply_adds, stack_places, sums
from minicc.schedule.tensor_intrinsic import TENSOR_INTRINSICS
from minicc.target import Target

# %% [markdown]
# ## 1. What the machine is told
#
# A processor runs instructions. Their text is called **assembly**. `source("asm")` shows it for a built function, for
# any processor that we name: here *haswell*, an Intel core of 2013, whose instructions nearly all later ones
# understand. We only read it, so your own machine does not matter.


# %%
def scalar_product(n):
    """The sum of `A[k] * B[k]`, and a schedule of it."""
    A, B = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((), lambda: te.sum(A[k] * B[k], axis=k), name="C")
    return te.create_schedule(C.op), A, B, C


s, A, B, C = scalar_product(2560)
text = minicc.build(s, [A, B, C], target="haswell").source("asm")
draw_hot_loop("The scalar product as it comes", text)

# %% [markdown]
# The loop has five instructions. A name such as `%xmm0` is a register, a place inside of the core that holds what is
# being computed; `(%rdi,%rax,4)` is a place in memory. So the loop loads a number of `A`, multiplies it with one of
# `B`, adds the product to `%xmm0`, counts, and jumps back. Multiplying and adding is one instruction: a **fused
# multiply-add**, which rounds once, at the end. It counts as two operations.

# %%
loop = hot_loop(text)
assert [kind_of(row) for row in loop] == ["", "load", "multiply-add", "loop", "loop", "loop"]

# %% [markdown]
# ## 2. Lanes
#
# The register is much wider than one number. A **vector register** of haswell has 256 bits, which are eight numbers
# of `float32` side by side. Each of these places is a **lane**. An instruction that ends in `ps` works on all lanes
# at once, in the same time in which one that ends in `ss` works on a single one. What minicc knows of a machine is
# its **target**: how wide its vectors are, how many registers it has, its caches, its threads.

# %%
haswell, skylake = Target.of("haswell"), Target.of("skylake-avx512")
assert (haswell.lanes("float32"), haswell.registers) == (8, 16)
assert (skylake.lanes("float32"), skylake.registers) == (16, 32)

# %% [markdown]
# `vectorize` says that the trips of a loop are the lanes of a vector. The trips must not depend on each other, so it
# is a step that is checked as all others. In the picture, eight elements light up together:


# %%
def doubled(n):
    """Twice `A`, and a schedule of it."""
    A = te.placeholder((n,), name="A")
    B = te.compute((n,), lambda i: A[i] * 2.0, name="B")
    return te.create_schedule(B.op), A, B


s, A, B = doubled(64)
outer, inner = s[B].split(B.op.axis[0], factor=8)
s[B].vectorize(inner)
in_vectors = minicc.build(s, [A, B], target="haswell").source("asm")
assert "vaddps" in in_vectors and "vaddss" not in in_vectors  # LLVM adds A to itself; that is cheaper than times 2
s.picture(kind="visits")

# %% [markdown]
# What if the extent is no multiple of eight? Of 13 elements the last five fill a part of a vector. Then the
# instruction takes a **mask**: a bit for each lane, which says whether it takes part. A lane without its bit loads
# nothing and stores nothing, so nobody reads behind the end.

# %%
s, A, B = doubled(13)
outer, inner = s[B].split(B.op.axis[0], factor=8, tail="mask")
s[B].vectorize(inner)
print(minicc.lower(s, [A, B]))
assert "vmaskmovps" in minicc.build(s, [A, B], target="haswell").source("asm")
assert "{%k1}" in minicc.build(s, [A, B], target="skylake-avx512").source("asm")  # masks have registers of their own
s.picture(kind="visits")

# %% [markdown]
# ## 3. The scalar product in vectors
#
# The sum of the scalar product is one number, and each trip needs the one before. `vectorize` would be refused. What
# we want is another sum: lane 0 adds up the elements 0, 8, 16, ..., lane 1 adds up 1, 9, 17, ..., and at the end the
# eight sums are added. `rfactor` does that: it gives each trip of a loop a sum of its own. The loop over the eight is
# vectorized, and `set_scope` says that the sums live in registers ("local") and not in memory. (`unroll` writes out
# the trips of a loop one after the other. Here there is one; soon there will be more.)
#
# That the compiler does not do so by itself has a reason. Floating-point numbers are rounded at each addition, and so
# another order gives another result. Mostly it is no worse, but it is not the same. Whoever writes `rfactor` agrees
# to that.


# %%
def with_sums(n, count, lanes):
    """The scalar product of n elements by `count` vectors of sums."""
    s, A, B, C = scalar_product(n)
    _, inner = s[C].split(C.op.reduce_axis[0], factor=count * lanes)
    partial = s.rfactor(C, inner)
    vector, lane = partial.split(partial.op.axis[0], factor=lanes)
    partial.reorder(*partial.op.reduce_axis, vector, lane)
    partial.unroll(vector)
    partial.vectorize(lane)
    partial.set_scope("local")
    return s, [A, B, C]


s, tensors = with_sums(2560, 1, 8)
print(minicc.lower(s, tensors))
text = minicc.build(s, tensors, target="haswell").source("asm")
draw_hot_loop("The scalar product, by one vector of sums", text)

# %% [markdown]
# The same five instructions, and eight products in each trip. That is the factor 8. The other factor hides in the time
# that the instructions take.

# %%
assert [kind_of(row) for row in hot_loop(text)] == [kind_of(row) for row in loop]
assert "vfmadd231ps" in text and "vfmadd231ss" in loop[2]

# %% [markdown]
# ## 4. Why one sum is not enough
#
# A fused multiply-add of haswell takes 5 cycles from what it is given, its operands, to its result: this is its
# **latency**. But the core does not sit and wait. It can start two of them in *each* cycle, as long as their operands
# are there: its **throughput**. Our loop has one sum, an **accumulator**, that every instruction needs and that every
# instruction makes anew. So one starts every 5 cycles, where 10 could.
#
# A model of that is a few lines long. Instructions start in order. Each waits for its accumulator, and for one of the
# two places where it can start.


# %%
def started_in_a_cycle(accumulators, latency, ports=2, steps=2000):
    """How many multiply-adds start in a cycle, in the mean, when they take turns with so many accumulators."""
    ready, starts = [0] * accumulators, []
    for step in range(steps):
        own = step % accumulators
        free = starts[-ports] + 1 if step >= ports else 0
        starts.append(max(ready[own], free))
        ready[own] = starts[-1] + latency
    return steps / (starts[-1] + 1)


latencies = {"haswell": 5, "skylake": 4}
counts = range(1, 15)
curves(
    "Multiply-adds in a cycle, by the number of accumulators",
    [
        Curve("latency 4, as skylake and most later cores", {n: started_in_a_cycle(n, 4) for n in counts}, "c1"),
        Curve("latency 5, as haswell", {n: started_in_a_cycle(n, 5) for n in counts}, "c2"),
        Curve("what the core can start", dict.fromkeys(counts, 2), "c3", dashed=True),
    ],
    "accumulators",
    "started in a cycle",
)

# %% [markdown]
# The rule behind the curves: to keep `ports` places busy with instructions that take `latency` cycles, `latency *
# ports` of them must be on their way at any time, and each needs an accumulator of its own. That is 10 on haswell and
# 8 on skylake. Twelve are enough on both.

# %%
for name, latency in latencies.items():
    enough = latency * 2
    assert started_in_a_cycle(enough, latency) > 1.99 > started_in_a_cycle(enough - 1, latency) + 0.1
    print(f"{name}: {enough} accumulators; with one, 1/{round(2 / started_in_a_cycle(1, latency))} of that")
assert max(latency * 2 for latency in latencies.values()) < 12
assert round(2 / started_in_a_cycle(1, latencies["haswell"])) * haswell.lanes("float32") == 80

# %% [markdown]
# So a naive sum runs at 1/10 of what even its instructions could, and these do an eighth of what vectors can: an
# eightieth. Here is your machine, whichever it is:


# %%
def microseconds(s, tensors, arrays):
    """The shortest of a few runs on one core."""
    f = minicc.build(s, tensors, target=here)
    return f.time_evaluator(number=20)(*arrays).min * 1e6


here = Target.native().with_threads(1)
n, rng = 20480, np.random.default_rng(0)
a, b, c = rng.random(n, np.float32), rng.random(n, np.float32), np.zeros((), np.float32)
s, *tensors = scalar_product(n)
print(f"as it comes: {microseconds(s, tensors, [a, b, c]):.2f} microseconds")
for count in (1, 2, 4):
    s, tensors = with_sums(n, count, here.lanes("float32"))
    print(f"{count} vectors of sums: {microseconds(s, tensors, [a, b, c]):.2f} microseconds")
    np.testing.assert_allclose(c, a.astype(np.float64) @ b, rtol=1e-3)

# %% [markdown]
# ### Exercise 1
#
# The processor can also start two *loads* in each cycle. A multiply-add of the scalar product needs two: one number
# of `A`, one of `B`. So how many multiply-adds can start in a cycle at most, and how many accumulators are enough for
# that, on haswell?

# %%
answer = ...  # (multiply-adds in a cycle, accumulators)
check.ex1(answer)

# %% [markdown]
# ### Exercise 2
#
# Write the schedule: the scalar product of 2,400 elements for haswell, in vectors, with as many accumulators as you
# found. `answer` is given the naive schedule, and the output. `with_sums` above shows the steps; the check reads the
# assembly.


# %%
def answer(s, C):
    return ...  # your steps in place of this line


check.ex2(answer)

# %% [markdown]
# ## 5. Fewer loads: a tile in registers
#
# With two loads for each multiply-add no sum can be fast, and a scalar product has no choice: each number is used
# once. A matrix product has. Take a tile of `C` of `rows` by `vectors`, all of it in registers. For each step of `k`
# it needs `vectors` loads of a row of `B`, and for each row one number of `A`, loaded into all lanes (a *broadcast*).
# With those it does `rows * vectors` multiply-adds: each vector of `B` serves all rows, each number of `A` serves all
# vectors.


# %%
def register_tile(rows, vectors, lanes, depth=64):
    """The schedule of a product whose tiles of `C` are summed up in registers, over 8 x 4 tiles."""
    A = te.placeholder((8 * rows, depth), name="A")
    B = te.placeholder((depth, 4 * vectors * lanes), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((8 * rows, 4 * vectors * lanes), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    s = te.create_schedule(C.op)
    tile = s.cache_write(C, "local")  # the sums
    i_outer, j_outer, i_inner, j_inner = s[C].tile(*s[C].op.axis, rows, vectors * lanes)
    s[C].reorder(j_outer, i_outer, i_inner, j_inner)
    s[tile].compute_at(s[C], i_outer)
    row, column = s[tile].op.axis
    vector, lane = s[tile].split(column, factor=lanes)
    s[tile].reorder(*s[tile].op.reduce_axis, row, vector, lane)
    vector_out, lane_out = s[C].split(j_inner, factor=lanes)
    for stage, unrolled, vectorized in ((tile, (row, vector), lane), (C, (i_inner, vector_out), lane_out)):
        for one in unrolled:
            s[stage].unroll(one)
        s[stage].vectorize(vectorized)
    return s, [A, B, C]


def assembly(rows, vectors, target="haswell"):
    """The machine code of the product in such tiles."""
    s, tensors = register_tile(rows, vectors, Target.of(target).lanes("float32"))
    return minicc.build(s, tensors, target=target).source("asm")


# %% [markdown]
# `cache_write` and `compute_at` are the subject of the next lesson: they give the sums of a tile a buffer of their
# own, that lives as long as the tile. Its rows are unrolled, because registers have names and no numbers: a loop
# could not choose one. Here is the tile of 6 rows by 2 vectors.

# %%
draw_hot_loop("6 rows by 2 vectors, on haswell", assembly(6, 2))

# %% [markdown]
# Two loads, six broadcasts, **twelve** multiply-adds with twelve accumulators, and three instructions to count and to
# jump back. Eight loads for twelve multiply-adds is less than one for each; two for each was what held the scalar
# product back. Nothing else is left in this loop. It is as fast as the core can be, and so are its cousins on wider
# vectors:

# %%
for target in ("haswell", "skylake-avx512"):
    loop = hot_loop(assembly(6, 2, target))
    kinds = [kind_of(row) for row in loop]
    assert len(multiply_adds(loop)) == len(sums(loop)) == 12
    assert (kinds.count("load"), kinds.count("broadcast"), kinds.count("stack"), kinds.count("loop")) == (2, 6, 0, 3)

# %% [markdown]
# Is the model right? We measure tiles of one vector and more and more rows, so more and more accumulators, on your
# machine, in GFLOP/s: billions of operations a second. The shape of the curve should be that of the model: first a
# slope, then flat.


# %%
def gflops(rows, depth=256):
    """Measured, on one core, of a product in tiles of `rows` by one vector."""
    s, tensors = register_tile(rows, 1, here.lanes("float32"), depth)
    arrays = [rng.random(tensor.shape, np.float32) for tensor in tensors]
    f = minicc.build(s, tensors, target=here)
    return 2 * np.prod(arrays[2].shape) * depth / f.time_evaluator(number=5)(*arrays).min / 1e9


curves(
    "Measured: a tile of one vector by so many rows",
    [Curve(f"{here.cpu}, one core", {rows: gflops(rows) for rows in counts}, "c1")],
    "rows, each an accumulator",
    "GFLOP/s",
)

# %% [markdown]
# ## 6. Why not more
#
# A larger tile needs fewer loads for each multiply-add. But registers are few: haswell has 16. The tile takes `rows *
# vectors` for its sums, `vectors` for a row of `B`, and one for a broadcast. 6 by 2 takes 15. What does the compiler
# do with 3 by 4, which takes 17?

# %%
too_large = assembly(3, 4)
assert [kind_of(row) for row in hot_loop(too_large)].count("stack") == 2
draw_hot_loop("3 rows by 4 vectors, on haswell", too_large)

# %% [markdown]
# There is one register too few, so one sum is kept on the *stack*, the memory that a function has for itself (around
# `%rsp`): it is loaded before it is used, and stored behind. That is a **spill**. It costs two instructions, and some
# cycles of latency for one of the sums. One spill is a pity; many are a disaster. Let us count them for all tiles, in
# the assembly.

# %%
print("tile   registers  multiply-adds  places on the stack")
for rows, vectors in ((5, 2), (6, 2), (4, 3), (14, 1), (3, 4), (7, 2), (5, 3), (8, 2), (12, 2)):
    loop = hot_loop(assembly(rows, vectors))
    needed = rows * vectors + vectors + 1
    print(f"{rows:2} x {vectors}  {needed:9}  {len(multiply_adds(loop)):13}  {len(stack_places(loop)):19}")
    assert bool(stack_places(loop)) == (needed > haswell.registers)
assert not stack_places(hot_loop(assembly(12, 2, "skylake-avx512")))  # it has 32 registers

# %% [markdown]
# The rule holds for every row of the table: what needs 16 registers fits, what needs 17 spills.

# %% [markdown]
# ### Exercise 3
#
# Which tile needs the fewest loads for each multiply-add, of all that fit into 16 registers and have at least 10
# accumulators?
#
# <details><summary>Hint</summary>
# Loads of a step: `rows + vectors`. Multiply-adds: `rows * vectors`. For the same product the sum is smallest when
# the two are near each other.
# </details>

# %%
answer = ...  # (rows, vectors)
check.ex3(answer)

# %% [markdown]
# ### Exercise 4
#
# Find the spill. Look at the assembly of 3 by 4 above: which place in memory holds the sum that found no register?
# Write it as it stands there, as in `"32(%rsp)"`.

# %%
answer = ...
check.ex4(answer, too_large)

# %% [markdown]
# ## 7. Instructions for whole nests
#
# Some processors have instructions that no loop of ours would ever become: four products and their sum at once, a
# small matrix by a vector, a product of tiles. Such a thing is declared as a **tensor intrinsic**: its *meaning*,
# which is a naive nest, and its *implementation*, whatever that is. `tensorize` looks whether a nest is the same as
# the meaning, and puts the implementation in its place.

# %%
gemv = TENSOR_INTRINSICS["gemv_4x4_float32"]
print(gemv.meaning)
print(gemv.implementation)

# %% [markdown]
# This one multiplies a matrix of 4 x 4 with a vector, column by column, so that its four sums are the lanes of one
# vector. No trust is needed: both are programs, and whoever declares an intrinsic has both run and compared.

# %% [markdown]
# ### Exercise 5
#
# `answer` is given the schedule of `y[i] = sum of W[i, k] * x[k]`, with `W` of 8 x 12, and `y`. Make its inner loops
# a nest that means `gemv_4x4_float32`, and `tensorize` it.
#
# <details><summary>Hint</summary>
# The meaning has a loop `i` of 4 trips, and in it a loop `k` of 4 trips. `s[y].tensorize(loop, "gemv_4x4_float32")`
# wants the outer
# one of these two.
# </details>


# %%
def answer(s, y):
    return ...  # your steps in place of this line


check.ex5(answer)

# %% [markdown]
# ## Words
#
# - **assembly**: the instructions of a processor, as text
# - **fused multiply-add**: an instruction that multiplies, adds, and rounds once
# - **vector register**: a place in a core that holds several numbers side by side
# - **target**: the description of a machine: vectors, registers, caches, threads
# - **lane**: one element of a vector register
# - **mask**: a bit for each lane of a vector that says whether it takes part
# - **latency**: the time from the operands of an instruction to its result
# - **throughput**: how many instructions of a kind can start in a cycle
# - **accumulator**: a register that a sum is added up in
# - **spill**: a value that is kept on the stack because there are too few registers
# - **tensor intrinsic**: a small nest with a fast way to compute it, declared side by side

# %% [markdown]
# ## What was not told
#
# - Cores look ahead: they start later instructions while earlier ones wait, as long as they do not depend on them.
#   That is why the order of the instructions in the picture hardly matters, and why registers have more copies inside
#   than names.
# - Wide vectors draw power. Some processors run slower while they use 512 bits.
# - Zen 3 and Zen 4 have a latency of 4 and two places, too; the figures of all processors stand in Agner Fog's
#   instruction tables and at uops.info.
# - An instruction may take one of its operands straight from memory, which saves a register where that is used only
#   once. The scalar product did so.
# - Who decides which value is in which register? LLVM's register allocator, and it is good, but it cannot add
#   registers. Lesson 12 looks at what else LLVM does.
# - Where the tile comes from memory fast enough is another matter. That is lesson 9.
