# %% [markdown]
# # The same work, and ten times the time
#
# Two programs read the same numbers, equally often, and write the same results. One takes ten times as
# long as the other, or even more. *What does it wait for?*
#
# It waits for memory. In this lesson we find out when, and count it: times differ from machine to
# machine, counts do not.

# %%
import time
from types import SimpleNamespace

import numpy as np

import minicc
from minicc import te
from minicc.course.checks import lesson_06 as check
from minicc.explain.draw_curves import Curve, curves
from minicc.explain.draw_roofline import draw as draw_roofline
from minicc.runtime.profile import KernelRow


def transposition(n):
    """`B`, which is `A` with rows and columns exchanged, and a schedule of it."""
    A = te.placeholder((n, n), name="A")
    B = te.compute((n, n), lambda i, j: A[j, i], name="B")
    return te.create_schedule(B.op), A, B


def doubled(n):
    """`B`, which is twice `A`, and a schedule of it."""
    A = te.placeholder((n, n), name="A")
    B = te.compute((n, n), lambda i, j: A[i, j] * 2.0, name="B")
    return te.create_schedule(B.op), A, B


# %% [markdown]
# ## 1. Two orders of one nest
#
# `doubled` takes each element of `A` times two. It does not matter in which order: by rows, as the loops
# come, or by columns, after a `reorder`. Both loops go through the same elements.

# %%
by_rows, _, _ = doubled(64)
by_columns, _, B = doubled(64)
by_columns[B].reorder(*reversed(B.op.axis))
by_columns.picture()

# %% [markdown]
# The counts say the same of both: every element is loaded once, and stored once.

# %%
for s in (by_rows, by_columns):
    counts = s.counts(caches=[])
    assert (counts.loads, counts.stores, counts.flops) == (64 * 64, 64 * 64, 64 * 64)

# %% [markdown]
# The clock does not agree. Here are larger matrices, on your machine:


# %%
def best_milliseconds(s, tensors, n, runs=5):
    """The shortest of a few runs."""
    f = minicc.build(s, tensors)
    a, b, taken = np.ones((n, n), np.float32), np.empty((n, n), np.float32), []
    for _ in range(runs):
        start = time.perf_counter()
        f(a, b)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1e3


for order in ("rows", "columns"):
    s, A, B = doubled(1024)
    if order == "columns":
        s[B].reorder(*reversed(B.op.axis))
    print(f"1024 x 1024 by {order}: {best_milliseconds(s, [A, B], 1024):.2f} ms")

# %% [markdown]
# Put 1000 in place of 1024, and run it again: with slightly smaller matrices the columns should suddenly be far
# better. Section 5 says why.
#
# ## 2. Memory comes in lines
#
# Main memory is far away: a load from there takes as long as hundreds of additions. So a processor keeps a
# copy of what it used lately in a small and near memory, its **cache**. A cache does not hold single numbers.
# It holds pieces of 64 bytes, that begin at multiples of 64: **cache lines**. One line is 16 numbers of
# `float32` that are neighbours in memory, and whoever loads one of them has brought the other 15.
#
# An access to a line that the cache has is a *hit*. It takes a few *cycles*, the beats of the processor's clock. An
# access to any other is a **cache miss**: the line must be brought, and something else must go, as the cache is full.
#
# A matrix lies in memory row by row. A row of 64 numbers is 4 lines. So what happens by rows, and by
# columns, in a tiny cache of 16 lines?

# %%
tiny = te.Cache(16 * 64, line=64, ways=None)
rows, columns = (s.counts(caches=[tiny]) for s in (by_rows, by_columns))
print(rows)
print(columns)

# %% [markdown]
# By rows, each line is brought once and used 16 times in a row: 64 * 64 / 16 = 256 misses for `A`, and as
# many for `B`. No order can do with fewer, as each line must come at least once.
#
# By columns the next element is in the next row, so in another line. A column touches 64 lines of `A` and
# 64 of `B`. When the second column begins, the lines of the first are long gone: only 16 fit. *Every* access
# misses.

# %%
assert [b.misses[0] for b in rows.buffers] == [64 * 64 // 16] * 2
assert [b.misses[0] for b in columns.buffers] == [64 * 64] * 2

# %% [markdown]
# The heat map marks where, for a small matrix and lines of 32 bytes, which are 8 numbers. A 1 is an element whose load
# or store misses. By rows, it is the first one of each line:

# %%
little = te.Cache(8 * 32, line=32, ways=None)
s, _, _ = doubled(16)
s.picture(kind="heat", caches=[little])

# %% [markdown]
# ## 3. A cache in eight lines of Python
#
# Which line has to go when a new one comes? The usual rule is **LRU**, for least recently used: the one that
# was not used for the longest time. That is all that a simulated cache needs to know. `held` has the
# lines in the order of their last use:


# %%
def count_misses(addresses, capacity):
    """How often an access to one of these addresses, in bytes, finds that its line is not there."""
    held, missed = [], 0
    for address in addresses:
        line = address // 64
        missed += line not in held
        held = [other for other in held if other != line] + [line]
        held = held[-capacity:]
    return missed


# %% [markdown]
# Let us ask it about both orders. `A` lies in front, `B` behind it; an element has 4 bytes.

# %%
places = [(i, j) for i in range(64) for j in range(64)]
accesses = {
    "rows": [start + (64 * i + j) * 4 for i, j in places for start in (0, 64 * 64 * 4)],
    "columns": [start + (64 * i + j) * 4 for j, i in places for start in (0, 64 * 64 * 4)],
}
assert count_misses(accesses["rows"], 16) == rows.misses[0] == 512
assert count_misses(accesses["columns"], 16) == columns.misses[0] == 8192

# %% [markdown]
# LRU has a weakness that is worth knowing by heart. Go around in a circle of five lines, ten times. A cache
# of five lines misses 5 times. A cache of four lines, which is nearly as large, misses *every* time: the line
# that it throws out is always the one that comes next. So misses do not rise gently when something gets too
# large. They fall off a cliff.

# %%
circle = [64 * line for line in range(5)] * 10
assert count_misses(circle, 5) == 5
assert count_misses(circle, 4) == 50

# %% [markdown]
# ### Exercise 1
#
# This program adds up the columns of a matrix of 32 x 32. Each row of `A` is two lines long.
#
# ```python
# for j in range(32):
#     for k in range(32):
#         total[j] += A[k, j]
# ```
#
# The cache has 16 lines, and throws out by LRU. How many loads of `A` miss?
#
# <details><summary>Hint</summary>
# How many lines does one column touch? Are they still there when the next column begins?
# </details>

# %%
answer = ...
check.ex1(answer)

# %% [markdown]
# ## 4. Tiles
#
# Some programs have no good order. A transposition reads by rows and writes by columns, or the other way
# around. One of the two always misses.

# %%
s, _, _ = transposition(64)
small = te.Cache(32 * 64, line=64, ways=None)
counts = s.counts(caches=[small])
assert {b.name: b.misses[0] for b in counts.buffers} == {"A": 4096, "B": 256}
print(counts)

# %% [markdown]
# `B` is written row by row, with 256 misses, the fewest. `A` is read column by column: 4,096 misses.
#
# `tile` makes an order in between. Each tile of `B` of `t` by `t` elements is finished before the next begins.
# How many misses has `A` then? Let us think before we count.
#
# While one row of the tile is written, `t` lines of `A` are touched, one for each element. For the *next* row of
# the tile they are wanted again, their next elements. They are still there if all that was touched in the
# meantime fits: the `t` lines of `A` themselves, and the part of a row of `B`, which is `t / 16` lines, and one
# at least. What a loop comes back to, together with what it touches in between, is its **working set**.
#
# - If the working set fits, each line of `A` serves `t` rows of the tile, and at most 16 as it has no more
#   elements: `64 * 64 / min(t, 16)` misses.
# - If it does not, LRU has always thrown out the one that comes next: `64 * 64` misses.


# %%
def predicted(t, lines):
    """The misses of `A`, 64 x 64, transposed in tiles of t x t, in a cache of so many lines."""
    fits = t + max(t // 16, 1) <= lines
    return 64 * 64 // min(t, 16) if fits else 64 * 64


def counted(t, lines):
    """The same, counted."""
    s, _, B = transposition(64)
    s[B].tile(*B.op.axis, t, t)
    return s.counts(caches=[te.Cache(lines * 64, line=64, ways=None)]).buffers[0].misses[0]


sizes = (1, 2, 4, 8, 16, 32, 64)
found = {lines: {t: counted(t, lines) for t in sizes} for lines in (32, 64)}
assert found == {lines: {t: predicted(t, lines) for t in sizes} for lines in (32, 64)}

# %% [markdown]
# The counts are what we predicted, for all sizes and both caches. The curve falls as the tile grows, down to
# the least that there is, and then comes the cliff: in a cache of 32 lines a tile of 32 does not fit any more,
# because 32 lines of `A` and 2 of `B` are 34.

# %%
curves(
    "Misses of A, by the size of a tile",
    [
        Curve("a cache of 64 lines", found[64], "c2"),
        Curve("a cache of 32 lines", found[32], "c1"),
        Curve("each line once", dict.fromkeys(sizes, 256), "c3", dashed=True),
    ],
    "rows and columns of a tile",
    "misses",
)

# %% [markdown]
# And the little heat map, in tiles of 4 x 4: what misses in `A` is the first column of each tile, where its lines
# come. The other three find them there.

# %%
s, _, B = transposition(16)
s[B].tile(*B.op.axis, 4, 4)
s.picture(kind="heat", caches=[little])

# %% [markdown]
# So the rule for a tile is: *as large as fits, and no larger*. And on your machine?

# %%
for t in (1, 16, 64, 1024):
    s, A, B = transposition(1024)
    s[B].tile(*B.op.axis, t, t)
    print(f"1024 x 1024 in tiles of {t:4}: {best_milliseconds(s, [A, B], 1024):.2f} ms")

# %% [markdown]
# ### Exercise 2
#
# Another machine, a smaller cache: 20 lines, so 1,280 bytes. Choose a tile of `B`, its rows and its columns,
# such that the transposition of 64 x 64 misses as seldom as possible: 512 times in all.

# %%
answer = ...  # (rows, columns)
check.ex2(answer)

# %% [markdown]
# ## 5. Sets
#
# So far a line could be anywhere in the cache. Real caches are not like that: to find a line they would have
# to look everywhere. Instead the address decides. The lines of a cache are divided into **cache sets**, and the
# line with the number `n` must be in set `n % sets`. LRU decides within a set only. The number of lines in a
# set is called its *ways*.
#
# That is bad news for matrices whose rows are a power of two long, as 1024 is. Our rows of 64 are 4 lines long. With
# 8 sets, the lines of a column are in sets 0, 4, 0, 4, ...: two sets do all the work, and six are empty.

# %%
in_sets = te.Cache(32 * 64, line=64, ways=4)
assert in_sets.sets == 8
assert {4 * row % in_sets.sets for row in range(64)} == {0, 4}

s, _, B = transposition(64)
s[B].tile(*B.op.axis, 16, 16)
print("any place:", s.counts(caches=[small]).misses, " sets of 4:", s.counts(caches=[in_sets]).misses)
assert s.counts(caches=[in_sets]).misses > (4000,)

# %% [markdown]
# The tile of 16 needs 17 lines. There are 32, but only the 8 of two sets can be used: the cliff is back. Two ways
# out. Either a smaller tile, or rows that have another length: with 16 columns more in memory, that nobody reads, a
# row is 5 lines long, and the lines of a column are spread over all sets.


# %%
def transposition_of_padded(n, width):
    """As `transposition`, where a row of `A` takes `width` numbers in memory."""
    A = te.placeholder((n, width), name="A")
    B = te.compute((n, n), lambda i, j: A[j, i], name="B")
    return te.create_schedule(B.op), A, B


s, _, B = transposition_of_padded(64, 80)
s[B].tile(*B.op.axis, 16, 16)
padded = s.counts(caches=[in_sets]).misses
print("rows of 80:", padded)
assert {5 * row % in_sets.sets for row in range(64)} == set(range(8))
assert padded == (512,)
assert transposition(96)[0].counts(caches=[te.Cache(2 << 10, line=64, ways=8)]).misses == (9792,)

# %% [markdown]
# ### Exercise 3
#
# Write the schedule. `answer` is given the transposition of a matrix of 96 x 96, and does with it what it likes; you
# know `tile`, `split` and `reorder`. The cache has 2 KB in sets of 8 ways, and the rows are 6 lines long. At most
# 1,500 misses are wanted. The naive order has 9,792: 96 * 96 for `A`, and a sixteenth of that for `B`.
#
# <details><summary>Hint</summary>
# How many sets are there? In which of them are the lines of a column? So how many lines of a column can be held at
# once? Rows and columns of a tile need not be equal.
# </details>


# %%
def answer(s, B):
    return ...  # your steps in place of this line


check.ex3(answer)

# %% [markdown]
# ## 6. How much work for a byte
#
# A miss hurts most where there is little to compute meanwhile. The number that tells is the **arithmetic
# intensity** of a program: its operations, divided by the bytes that go between memory and cache. `doubled` does one
# multiplication for each number that comes and each that goes, so 1 operation for 8 bytes. A matrix product of 48 x 48
# does 2 * 48³ operations, and how many bytes? As many as it misses, times 64.


# %%
def product(n):
    """`C = A @ B`, and a schedule of it."""
    A, B = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return te.create_schedule(C.op), C


def intensity(s, cache):
    """Operations for each byte that a cache brings."""
    counts = s.counts(caches=[cache])
    return counts.flops / (counts.misses[0] * cache.line)


first_cache = te.Cache(2 << 10, line=64, ways=8)
naive, _ = product(48)
tiled, C = product(48)
rows, columns, row, column = tiled[C].tile(*C.op.axis, 12, 16)
k_outer, k_inner = tiled[C].split(C.op.reduce_axis[0], factor=8)
tiled[C].reorder(rows, columns, k_outer, k_inner, row, column)
copied, _, _ = doubled(48)
intensities = {
    "twice A": intensity(copied, first_cache),
    "product, naive": intensity(naive, first_cache),
    "product, tiled": intensity(tiled, first_cache),
}
print({name: round(value, 3) for name, value in intensities.items()})
assert intensities["twice A"] == 1 / 8
assert intensities["product, tiled"] > 90 * intensities["product, naive"]
print("misses of the product:", naive.counts(caches=[first_cache]).misses, tiled.counts(caches=[first_cache]).misses)

# %% [markdown]
# The naive product is worse than the copy: each line brings one number that is used, and 15 that are not. Tiled,
# the same additions and multiplications get by with a hundredth of the misses.
#
# Say that a machine computes at most 100 billion operations a second (100 GFLOP/s), its *peak*, and that memory
# brings at most 20 billion bytes a second. A program of intensity `x` cannot be faster than `20 * x` billion
# operations a second, as its bytes must come, nor than 100. The smaller one is its limit. Drawn over `x`, the limit
# rises like a roof and then is flat. It is called the **roofline** (Williams, Waterman and Patterson, 2009).

# %%
peak, bandwidth = 100e9, 20e9
machine = SimpleNamespace(limits=lambda: {"memory": bandwidth, "peak": peak})


def at_the_roof(name, x, bytes=10**9):
    """A program of intensity `x` that is as fast as this machine allows."""
    return KernelRow(name, 1, int(x * bytes), bytes, bytes / min(bandwidth, peak / x), share=1.0)


draw_roofline(machine, [at_the_roof(name, x) for name, x in intensities.items()])

# %% [markdown]
# Where the roof bends, at 100 / 20 = 5 operations a byte, a program changes its nature. Left of it memory is the limit,
# and a better order of loops is worth more than any instruction. Right of it arithmetic is the limit, and the
# next lesson is about that. The copy cannot leave the left side: there is nothing that it could use twice. The
# product can, and tiles are how.

# %%
assert intensities["product, naive"] < peak / bandwidth < 2 * intensities["product, tiled"]

# %% [markdown]
# ### Exercise 4
#
# `C[i] = A[i] + B[i]`, of very long vectors of `float32`. Each line of `A` and `B` is brought once, each line of `C` is
# written back once. How many operations for a byte?

# %%
answer = ...
check.ex4(answer)

# %% [markdown]
# ## Words
#
# - **cache**: a small and near memory that holds copies of what was used lately
# - **cache line**: the piece of memory that a cache brings at once, mostly 64 bytes
# - **cache miss**: an access to a line that the cache does not have
# - **LRU**: the rule that the line goes which was not used for the longest time
# - **cache set**: the few places of a cache in which a line may be, by its address
# - **working set**: all lines that a loop comes back to, and what it touches in between
# - **arithmetic intensity**: operations for each byte that goes between memory and cache
# - **roofline**: the most operations a second that a machine allows, over the arithmetic intensity

# %% [markdown]
# ## What was not told
#
# - A processor has two or three caches behind each other, each larger and slower. `counts(caches=[first, second])`
#   counts them all: what misses the first is looked for in the second.
# - A line that was written must go back to memory when it is thrown out. Our counts have it as one miss, when it comes.
# - Processors guess what comes next, and bring it before it is asked for (*prefetching*). That hides many
#   misses of programs that walk in a straight line, and few of those that jump.
# - Addresses are translated in pages of 4 KB, and the translations have a cache of their own, which misses, too.
# - Real caches only resemble LRU; the true rules are secrets of their makers. A cliff is a little rounder there.
#
# Read on: [minicc/loop/caches.py](../minicc/loop/caches.py) is our cache, with sets and levels. Ulrich Drepper,
# *What Every Programmer Should Know About Memory*, tells all the rest.
