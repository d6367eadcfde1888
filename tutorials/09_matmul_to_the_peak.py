# %% [markdown]
# # Three loops, as fast as the machine
#
# Three loops multiply two matrices. Written down as they come, they reach about a hundredth of what one core can do, or less.
# *How near to all of it can we come, by nothing but steps that rearrange loops? And can you come nearer than the compiler itself?*
#
# All that we need was said in the lessons before: order, tiles, vectors, registers. Here it comes together, a rung of a
# ladder at a time. Each rung is counted, at a small size, and measured, at a large one.

# %%
import json
import os
import subprocess
import sys

import numpy as np

import minicc
from minicc import te
from minicc.course.checks import lesson_09 as check
from minicc.explain.draw_bars import Bar, bars
from minicc.explain.draw_curves import Curve, curves
from minicc.explain.hot_loop import draw_hot_loop
from minicc.recipes.gemm import gemm
from minicc.runtime.roofline import measure_peak
from minicc.target import Target

# %% [markdown]
# ## The yardstick
#
# A program that does nothing but fused multiply-adds on registers, twelve or so accumulators of them, tells what one
# core can do. No program can be faster; the share of it that we reach is the only speed that means something on every machine.

# %%
one_core = Target.native().with_threads(1)
lanes = one_core.lanes("float32")
peak = measure_peak(one_core)
print(f"{one_core.cpu}: vectors of {lanes} float32, at most {peak / 1e9:.0f} GFLOP/s on one core")

# %% [markdown]
# A rung is a function of a size `n`, and of the `lanes` of a vector. It gives a schedule, and the tensors. `climb` counts and
# measures one. It counts with matrices of 48 x 48, vectors of 8, and a simulated cache of 2 KB, which is to these
# matrices about what a real one is to large ones. So the counts are the same on every machine.

# %%
n = 576  # = 18 * 32 = 96 * 6: every tile below divides it, and 48, too
rng = np.random.default_rng(0)
a, b = rng.random((n, n), np.float32), rng.random((n, n), np.float32)
expected = a.astype(np.float64) @ b
cache = te.Cache(2 << 10, line=64, ways=8)
counted, measured = {}, {}


def climb(title, rung, target=one_core):
    """Count and measure a rung; what it computes is compared with NumPy's."""
    counted[title] = rung(48, 8)[0].counts(caches=[cache])
    s, tensors = rung(n, lanes)
    f, c = minicc.build(s, tensors, target=target, name="matmul"), np.zeros((n, n), np.float32)
    f(a, b, c)
    np.testing.assert_allclose(c, expected, rtol=1e-4)
    once = f.time_evaluator(number=1, repeat=1)(a, b, c).min
    repeat = min(max(int(0.3 / once), 2), 50)
    measured[title] = 2 * n**3 / f.time_evaluator(number=1, repeat=repeat)(a, b, c).min
    counts = counted[title]
    print(
        f"{title:10} {counts.loads:9,} loads {counts.stores:9,} stores {counts.misses[0]:9,} misses"
        f" {measured[title] / 1e9:8.1f} GFLOP/s, {measured[title] / peak:6.1%} of the peak of a core"
    )
    return f


# %% [markdown]
# ## 0. As it comes
#
# `te` says what each element of `C` is. The loops come in the order of its axes, and the sum is innermost.


# %%
def product(n):
    """`C = A @ B`, and a schedule of it."""
    A, B = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return te.create_schedule(C.op), A, B, C


def naive(n, lanes):
    s, *tensors = product(n)
    return s, tensors


climb("naive", naive)
assert counted["naive"].misses[0] > 48**3

# %% [markdown]
# It misses more than once for each of the 48³ products: `B` is read by columns, and each column is gone before the next one
# wants its lines.
#
# ## 1. Order
#
# With `k` outside of `j`, the innermost loop runs along a row of `B` and a row of `C`. Nothing else changes.


# %%
def order(n, lanes):
    s, A, B, C = product(n)
    i, j = C.op.axis
    s[C].reorder(i, *C.op.reduce_axis, j)
    return s, [A, B, C]


climb("order", order)
assert counted["order"].loads == counted["naive"].loads  # as many loads,
assert counted["order"].misses[0] * 16 < counted["naive"].misses[0]  # of which a sixteenth misses

# %% [markdown]
# ## 2. Tiles
#
# Still, all of `B` goes by for each row of `C`. In tiles of `C`, and with `k` in pieces, a few rows of a part of `B` serve all
# rows of the tile.


# %%
def tiles(n, lanes, rows=12, columns=16, depth=4):
    s, A, B, C = product(n)
    i_outer, j_outer, i_inner, j_inner = s[C].tile(*C.op.axis, rows, columns)
    k_outer, k_inner = s[C].split(*C.op.reduce_axis, factor=depth)
    s[C].reorder(i_outer, j_outer, k_outer, i_inner, k_inner, j_inner)
    return s, [A, B, C]


climb("tiles", tiles)
assert counted["tiles"].misses[0] * 5 < counted["order"].misses[0]

# %% [markdown]
# On your machine this may even be slower than the order alone: its caches are so large that a row of `C` and all of `B` nearly fit,
# and short loops cost trips. The counts tell what will matter once the arithmetic is fast.
#
# ## 3. Vectors
#
# `j_inner` runs along rows, and its trips are independent: they become lanes.


# %%
def vectors(n, lanes):
    s, tensors = tiles(n, lanes, columns=2 * lanes)
    s["C"].vectorize("j_i")
    return s, tensors


climb("vectors", vectors)
assert (counted["vectors"].loads, counted["tiles"].loads) == (3 * 48**3, 3 * 48**3)

# %% [markdown]
# Much faster, but each product still loads its sum from `C` and stores it back. The counts have not moved: for each of the
# 48³ products 3 numbers are loaded, and one is stored.
#
# ## 4. Registers
#
# The tile of the lesson on registers: 6 rows by 2 vectors. `cache_write` gives the sums a buffer of their own, `compute_at` makes it
# as small as a tile, and `unroll` gives each of its rows a name.


# %%
def accumulate(s, C, rows, width):
    """Sum up `C` in tiles of rows x width that stay in registers; gives the loop over blocks of columns."""
    tile = s.cache_write(C, "local")
    i_outer, j_outer, i_inner, j_inner = s[C].tile(*s[C].op.axis, rows, width)
    s[C].reorder(j_outer, i_outer, i_inner, j_inner)
    s[tile].compute_at(s[C], i_outer)
    row, column = s[tile].op.axis
    s[tile].reorder(*s[tile].op.reduce_axis, row, column)
    s[tile].unroll(row)
    s[tile].vectorize(column)
    s[C].unroll(i_inner)
    s[C].vectorize(j_inner)
    return j_outer


def registers(n, lanes):
    s, A, B, C = product(n)
    accumulate(s, C, 6, 2 * lanes)
    return s, [A, B, C]


f = climb("registers", registers)
assert counted["registers"].loads == 2 * 48**3
assert counted["registers"].stores == 48 * 48
draw_hot_loop("The innermost loop, on this machine", f.source("asm"))

# %% [markdown]
# `C` is never loaded, and stored once: of three loads for each product two are left, of 112,896 stores 2,304. And the two that are
# left are not what the machine does. The counts are of numbers, as the loop program has them. In the machine code a vector comes in
# one load, and the rows of a tile share it: two loads, six broadcasts, twelve multiply-adds, as lesson 7 found.
#
# The misses went up, from 1,176 to 1,728: `k` is no longer in pieces, so 48 lines of `B` go by for each tile, and this cache has 32.
# What minicc itself writes, which you will see below, cuts `k` again where matrices are large.

# %% [markdown]
# ### Exercise 1
#
# On haswell a vector has 8 lanes, so a tile of `C` has 6 rows and 16 columns. How many *instructions* that load from memory does the
# whole product of 48 x 48 run in its innermost loop? Broadcasts load, too.

# %%
answer = ...
check.ex1(answer)

# %% [markdown]
# ## 5. Packing
#
# One thing is left. The loop walks down `B` by rows, two vectors of each, and the next row is a whole row of `B` away: another
# line, and of the cache only some sets, as lesson 6 found. So we store `B` once more, in **panels** as wide as the
# tile: what the loop reads next is what lies next. That is called **packing**. The panels are a tensor like any other, and the time
# that they take is part of what is measured.


# %%
def packed(n, lanes):
    s, tensors, _ = packed_product(n, lanes)
    return s, tensors


def packed_product(n, lanes):
    """The product whose right matrix comes in panels, and the loop over these."""
    width = 2 * lanes
    A, B = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    P = te.compute((n // width, n, width), lambda panel, row, lane: B[row, panel * width + lane], name="P")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * P[j // width, k, j % width], axis=k), name="C")
    s = te.create_schedule(C.op)
    panels = accumulate(s, C, 6, width)
    s[P].vectorize(P.op.axis[2])
    return s, [A, B, C], panels


climb("packing", packed)
extra = counted["packing"].loads - counted["registers"].loads
assert extra == 48 * 48  # each element of B is loaded once more, and stored once more
assert counted["packing"].stores - counted["registers"].stores == 48 * 48
assert (
    counted["packing"].misses[0] - counted["registers"].misses[0] == 2 * 48 * 48 // 16
)  # and each line of both misses once

# %% [markdown]
# Packing costs `n²` loads and stores, and the product does `n³` multiplications: the larger the matrices, the less it
# weighs. At 48 x 48 it gains nothing, as all of the additional misses are its own. What it gains shows where rows are long: compare
# the speeds. This is, in short, what the libraries do (Goto and van de Geijn, *Anatomy of High-Performance Matrix
# Multiplication*, 2008).
#
# ## 6. All cores
#
# The panels of `C` do not depend on each other: the threads share them out. Packing is shared, too. Left to one
# thread, it would be what all others wait for.


# %%
def parallel(n, lanes):
    s, tensors, panels = packed_product(n, lanes)
    s["C"].parallel(panels)
    s["P"].parallel(s["P"].op.axis[0])
    return s, tensors


everyone = Target.native()
climb("parallel", parallel, everyone)
print(f"{everyone.threads} threads: {measured['parallel'] / peak / everyone.threads:.0%} of the peak of all")

# %% [markdown]
# ### Exercise 2
#
# There are 18 panels, and a machine has four cores. All panels take the same time, and a thread does one after the other. Which
# share of the peak of the four is the most that can be reached? A number from 0 to 1.

# %%
answer = ...
check.ex2(answer)

# %% [markdown]
# ## The ladder
#
# Here it is, measured on this machine. The speeds are yours; the misses, behind the bars, are the same on every machine.

# %%
bars(
    f"Speed and misses; the peak of one core is {peak / 1e9:.0f} GFLOP/s",
    [
        Bar(title, rate, f"{rate / 1e9:.1f} GFLOP/s, {rate / peak:.0%} of a core; {counted[title].misses[0]:,} misses")
        for title, rate in measured.items()
    ],
)

# %% [markdown]
# And these are all the steps of the last rung. They are data: they can be printed, changed, and done again.

# %%
s, _ = parallel(n, lanes)
print(s.trace)
assert len(s.trace) < 25
assert s.trace.replay(s.schedule.start).program is s.program

# %% [markdown]
# ## Beside NumPy, over sizes
#
# One size proves little. NumPy calls a library that people have tuned for decades. To have it use one core, as we do, it runs in a
# process of its own, which is told so before NumPy is loaded. The third curve is the compiler's own. It comes from a
# **recipe**, `minicc.recipes.gemm`: a function that writes such a trace for matrices of any size, with tiles computed from the registers
# and the caches of the machine.

# %%
sizes = (96, 192, 288, 384, 480, 576)
TIMED = """
import json, sys, time
import numpy as np
found = {}
for n in map(int, sys.argv[1:]):
    a, b, c = (np.ones((n, n), np.float32) for _ in range(3))
    times = []
    while len(times) < 4 or sum(times) < 0.05:
        start = time.perf_counter()
        np.matmul(a, b, out=c)
        times.append(time.perf_counter() - start)
    found[n] = 2 * n**3 / min(times) / 1e9
print(json.dumps(found))
"""
alone = {**os.environ, **dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")}
told = subprocess.run([sys.executable, "-c", TIMED, *map(str, sizes)], env=alone, capture_output=True, check=True)
found = {
    "NumPy": {int(size): rate for size, rate in json.loads(told.stdout).items()},
    "our ladder": {},
    "the recipe": {},
}
for size in sizes:
    left, right, out = (rng.random((size, size), np.float32) for _ in range(3))
    s, tensors = packed(size, lanes)
    ours = minicc.build(s, tensors, target=one_core)
    recipe = minicc.build(gemm(size, size, size, one_core).program, target=one_core)
    for name, f in {"our ladder": ours, "the recipe": recipe}.items():
        found[name][size] = 2 * size**3 / f.time_evaluator(number=2, repeat=10)(left, right, out).min / 1e9
        np.testing.assert_allclose(out, left.astype(np.float64) @ right, rtol=1e-4)

curves(
    "A product of n x n, one core",
    [Curve(name, rates, f"c{at}") for at, (name, rates) in enumerate(found.items(), 1)]
    + [Curve("peak", dict.fromkeys(sizes, peak / 1e9), "c6", dashed=True)],
    "n",
    "GFLOP/s",
)

# %% [markdown]
# ## Beat the recipe
#
# Here is what the recipe writes. Its numbers are *choices*: each has options, and a default that the recipe believes in. A tile is `rows`
# by `width` columns, `panels` are taken at a time, `k` is cut into pieces of `depth`, and a sum of more than `terms` numbers into
# shorter ones, which rounds less.

# %%
print(gemm(480, 480, 480, Target.of("haswell")).trace)

# %% [markdown]
# ### Exercise 3
#
# Change the choices. A product of 480 x 480 is built with yours and with the defaults; both are run in turns, on this machine, and the
# check says who is faster. Any choice that computes the product is right. Can you win?
#
# <details><summary>Hint</summary>
# `{"rows": 4, "panels": 1}`, for example. What you leave out keeps its default. The options depend on the machine: the check
# names them if you miss.
# </details>

# %%
answer = ...  # {name of a choice: number}
check.ex3(answer)

# %% [markdown]
# ### Exercise 4
#
# The open one. `answer` is given the naive schedule of a product of 480 x 480, and its output `C`. Schedule it as you like, for one core.
# It is timed against the recipe, in turns. `accumulate` above is a start: what does it leave to do?
#
# <details><summary>Hint</summary>
# Let `accumulate` return its stage `tile`, too. `s.cache_read("B", "global", [tile])` gives the stage of a copy of `B`. Computed at the loop
# over blocks of columns, with `compute_at`, it is a panel. Its rows want to be vectors. Then try other tiles.
# </details>


# %%
def answer(s, C):
    return ...  # your steps in place of this line


check.ex4(answer)

# %% [markdown]
# ## Words
#
# - **panel**: a part of a matrix that is as wide as a tile, stored so that it is read from front to back
# - **packing**: storing a matrix once more, in the order in which it will be read
# - **recipe**: a function that schedules a family of operators

# %% [markdown]
# ## What was not told
#
# - When matrices get large, a panel of `B` does not fit the first cache, nor all of `A` the second. The recipe cuts `k`, too (`depth`), and
#   takes several panels at a time (`panels`).
# - Sizes that no tile divides: the recipe lets tiles stick out, and guards the stores.
# - Two places of memory whose addresses differ by 4,096 bytes get in each other's way, in some processors. The recipe avoids
#   such rows by copying.
# - Whether a prefetch helps depends on the processor. Our ladder has none; the recipe asks for one while it packs.
# - The clock of a core changes with its heat and its neighbours. A peak that is measured now may not be that of a minute later,
#   so a share of more than 100% is a sign of that, not of magic.
#
# Read on: [minicc/recipes/gemm.py](../minicc/recipes/gemm.py), the recipe; [gemm_schedule.py](gemm_schedule.py), this schedule as a
# file for `minicc explore`.
