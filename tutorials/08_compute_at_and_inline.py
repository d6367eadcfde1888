# %% [markdown]
# # Keep it or compute it again
#
# A number is needed three times. You can compute it once and keep it, or compute it whenever it is needed. The first
# costs memory, the second costs arithmetic. *Which one is cheaper, and is there nothing in between?*
#
# There is a lot in between. In this lesson you choose, and every choice is counted.

# %%
from functools import partial

import numpy as np

from minicc import te
from minicc.course.checks import lesson_08 as check
from minicc.course.checks.lesson_08 import kept
from minicc.explain.draw_bars import Bar, bars
from minicc.loop.python import run_python
from minicc.schedule.step import loops_text

# %% [markdown]
# ## Two steps of a blur
#
# A picture is blurred in two steps: `B` adds up three neighbours in a row of `A`, `C` three neighbours in a column of
# `B`. `B` is the **producer** of what `C`, its **consumer**, reads. One element of `C` needs three of `B`, and nine
# of `A`:

# %%
n = 16


def tensors(n=n):
    """A picture, its sums along rows, and the sums of those along columns."""
    A = te.placeholder((n + 2, n + 2), name="A")
    B = te.compute((n + 2, n), lambda y, x: A[y, x] + A[y, x + 1] + A[y, x + 2], name="B")
    C = te.compute((n, n), lambda i, j: B[i, j] + B[i + 1, j] + B[i + 2, j], name="C")
    return A, B, C


def blur(n=n):
    """A fresh schedule of C."""
    return te.create_schedule(tensors(n)[-1].op).schedule


tensors(5)[-1].picture(at=(1, 1))

# %% [markdown]
# ## Keep everything
#
# If nobody says anything, all of `B` is computed, and then all of `C`. Nothing is computed twice. But `B` has to be
# kept as a whole.

# %%
cache = te.Cache(1 << 10, line=32, ways=None)  # a small one, for a small picture
table = {}


def choose(name, *steps, fresh=blur):
    """Take steps on a fresh schedule, check that it still blurs, and note what it costs."""
    s = fresh()
    for step in steps:
        step(s)
    data = np.random.default_rng(0).integers(0, 9, (n + 2, n + 2)).astype(np.float32)
    result = np.empty((n, n), np.float32)
    run_python(s.program, data, result)
    assert np.array_equal(result, sum(data[p : p + n, q : q + n] for p in range(3) for q in range(3)))
    counts = s.counts(caches=[cache])
    table[name] = (counts.loads, counts.stores, counts.flops, kept(s.program), counts.misses[0])
    return s


s = choose("all of B first")
print(loops_text(s.program))

# %% [markdown]
# By hand: `B` has 18 rows of 16, `C` has 16 of 16, and each element takes two additions.

# %%
loads, stores, flops, bytes_kept, misses = table["all of B first"]
assert flops == 2 * 18 * 16 + 2 * 16 * 16 == 1088
assert bytes_kept == 4 * 18 * 16 == 1152

# %% [markdown]
# ## Keep nothing
#
# `compute_inline` goes to the other end. `B` disappears; its formula is put in wherever an element of it was read.
# The one line that remains adds up nine numbers. No memory at all, but nearly twice the arithmetic: this is
# **recomputation**.

# %%
s = choose("inline", lambda s: s.compute_inline("B"))
assert table["inline"][2:4] == (16 * 16 * 8, 0)
s.picture()

# %% [markdown]
# ## In between
#
# `s.compute_at("B", "i")` moves the producer *into* a loop of its consumer. In each trip of `i`, it computes what
# this trip will read, and no more: three rows of `B`. So the buffer shrinks to three rows, too. (`scope="global"`
# says that it shall lie in memory, so that we can count it there.)

# %%
at = partial(lambda s, loop: s.compute_at("B", loop, scope="global"))
s = choose("at each row", lambda s: at(s, "i"))
print(loops_text(s.program))

# %% [markdown]
# Small, but not cheap. Each trip computes three rows, and two of them had been there in the trip before. Nearly three
# times the work for `B`, and as many additions in all as if nothing were kept. Watch it, on a smaller picture: `B` is
# written again and again, and `A` is read from above once more for each row.

# %%
assert table["at each row"][2] == table["inline"][2] == 2048
assert 2.5 < (3 * 16 * 16) / (18 * 16) < 3
assert table["at each row"][3] == 4 * 3 * 16

choose("at each element", lambda s: at(s, "j"))
small = blur(4)
at(small, "i")
small.picture(kind="visits")

# %% [markdown]
# ## Strips
#
# If four rows of `C` are made in one go, six rows of `B` are enough for them: six for four, and not twelve. So split
# `i` first, and put `B` into the outer loop.

# %%
s = choose("strips of 4", lambda s: s.split("i", factor=4), lambda s: at(s, "i_o"))
print(loops_text(s.program))

# %% [markdown]
# The strip is a dial. The higher it is, the less is computed twice, and the more is kept. A formula tells it for
# every height `t`: each of the `n/t` strips has `t + 2` rows of `B`. At 16 the strip is the whole picture.

# %%
for t in (4, 8, 16):
    choose(f"strips of {t}", lambda s, t=t: s.split("i", factor=t), lambda s: at(s, "i_o"))
    assert table[f"strips of {t}"][2:4] == (2 * n * n + 2 * n * (t + 2) * (n // t), 4 * n * (t + 2))

# %% [markdown]
# ## Tiles
#
# A strip is as wide as the picture. Real pictures are wide, and a strip of them fits no cache. Tiles are narrow, too:

# %%
s = choose("tiles of 4 x 4", lambda s: s.tile("i", "j", 4, 4), lambda s: at(s, "j_o"))
choose("tiles of 8 x 8", lambda s: s.tile("i", "j", 8, 8), lambda s: at(s, "j_o"))
s.picture()

# %% [markdown]
# ## The table
#
# All of these compute the same. Loads and stores are of memory, flops are additions, bytes are what `B` takes, and
# misses are those of a cache of 1 KiB.

# %%
print(f"{'':15}{'loads':>8}{'stores':>8}{'flops':>8}{'bytes':>8}{'misses':>8}")
for name, costs in table.items():
    print(f"{name:15}{''.join(f'{cost:8,}' for cost in costs)}")

# %%
kinds = {"c1": ("flops", 2), "c2": ("bytes", 3), "c3": ("misses", 4)}
most = {k: max(costs[k] for costs in table.values()) for _, k in kinds.values()}
rows = [
    Bar(name if what == "flops" else "", costs[k] / most[k], f"{costs[k]:,} {what}", kind)
    for name, costs in table.items()
    for kind, (what, k) in kinds.items()
]
bars(
    "Costs of the places of B",
    rows,
    [(kind, f"{what}, against the most") for kind, (what, _) in kinds.items()],
    most=40,
)

# %% [markdown]
# No place is the best in everything, and that is the point: there is a *trade*, and which side is cheaper is a
# question of the machine. In this small cache, keeping everything misses almost twice as often as the tiles of 4 x 4
# do, because `B` has gone from the cache before it is read.

# %%
assert table["all of B first"][4] > 1.9 * table["tiles of 4 x 4"][4]
no_row = [flops > 1200 or size > 400 or misses >= 80 for _, _, flops, size, misses in table.values()]
assert all(no_row) and min(table, key=lambda name: table[name][2]) == "all of B first"
assert min(table, key=lambda name: table[name][3]) == "inline"

# %% [markdown]
# ### Exercise 1
#
# *Before* you run anything: strips of 16 rows of a picture that is as wide as this one, but has 64 rows in `C` (and
# 66 in `A` and `B`). How many additions?
#
# <details><summary>Hint</summary>
#
# The formula above, with 64 rows. How many rows of `B` does a strip need, and how many strips are there?
#
# </details>

# %%
answer = ...
check.ex1(answer)

# %% [markdown]
# ### Exercise 2
#
# Compute *nothing* twice (1,088 additions), and keep no more than 100 bytes of `B`. It is possible. What does it
# cost?
#
# <details><summary>Hint</summary>
#
# Neighbouring *rows* of `C` share elements of `B`. Which neighbours share none?
#
# </details>


# %%
def answer(s):
    return ...


check.ex2(answer, blur)

# %% [markdown]
# ## Nearer than memory
#
# What is small enough need not be in memory at all: there are the registers. A buffer of scope `local` lives there, as
# far as it fits. `compute_at` chooses `local` by itself when the buffer is small; that is why the table had to ask for
# `global`. At each *element*, three numbers are kept, and memory does not see them:

# %%
s = blur()
s.compute_at("B", "j")
counts = s.counts(caches=[])
print(counts)
assert counts.loads == 3 * 3 * 16 * 16 and counts.stores == 16 * 16

# %% [markdown]
# ### Exercise 3
#
# You have 400 bytes for `B`, and time for 1,200 additions. Stay within both, and under 80 misses. No row of the table
# does.
#
# <details><summary>Hint</summary>
#
# The additions say how high a piece must be, and then the bytes say how wide it may be. Which misses are those of `B`?
#
# </details>


# %%
def answer(s):
    return ...


check.ex3(answer, blur, cache)

# %% [markdown]
# The same can be done to results. In a product of matrices, every addition reads and writes `C[i, j]`. `cache_write`
# lets them happen in a buffer of their own, and copies the result at the end. `compute_at` then moves that buffer
# into the loops of the copy, where it is small.


# %%
def product():
    """A fresh schedule of the product of two matrices of 8 by 8."""
    A, B = te.placeholder((8, 8), name="A"), te.placeholder((8, 8), name="B")
    k = te.reduce_axis((0, 8), name="k")
    return te.create_schedule(te.compute((8, 8), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C").op).schedule


s = product()
assert (s.counts(caches=[]).loads, s.counts(caches=[]).stores) == (3 * 8**3, 8**3 + 8**2)

assert s.cache_write("C") == "C_local" and s.loops_of("C") == ("i_copy", "j_copy")
s.compute_at("C_local", "j_copy")
print(loops_text(s.program))
assert (s.counts(caches=[]).loads, s.counts(caches=[]).stores) == (2 * 8**3, 8**2)

# %% [markdown]
# And to what is read. `cache_read` makes a copy of an input, and what reads the input reads the copy from then on. If
# a copy is used often, memory is read once for many uses: here each column of `B` is fetched once and used for all 8
# rows of `A`.

# %%
s = product()
s.reorder("j", "i", "k")
s.cache_read("B")
s.compute_at("B_local", "j")
of_b = next(b for b in s.counts(caches=[]).buffers if b.name == "B")
assert of_b.loads == 8**2

# %% [markdown]
# ### Exercise 4
#
# All three at once, on the product: load each element of `A` and of `B` once (64 loads of each), store each element of
# `C` once, and never load it. What you keep may be as large as you like.
#
# <details><summary>Hint</summary>
#
# `cache_read` for `A` and for `B`, `cache_write` for `C`. Each copies everything once, if nobody moves it.
#
# </details>


# %%
def answer(s):
    return ...


check.ex4(answer, product)

# %% [markdown]
# ## Words
#
# - **producer**: the nest that writes what another one reads
# - **consumer**: the nest that reads what another one writes
# - **recomputation**: computing a value again in place of keeping it

# %% [markdown]
# ## What was not told
#
# - In Halide a producer can be *stored* in one loop and *computed* in another, so that a strip slides over the
#   picture and each new row of `B` is computed once, in a buffer of three rows. minicc has no such step. For this
#   blur exercise 2 has another way to it, at another price.
# - What else can be said about a buffer: `storage_align` and `transform_layout` say how it lies in memory,
#   `double_buffer` gives it two halves, `prefetch` brings it before it is needed.
# - `reverse_compute_at` moves a consumer into its producer, and is what the kernels of whole networks use for what
#   follows a product.
# - Which place is the fastest? Counts do not say, they say why. Lesson 9 measures; lesson 14 lets a search choose.
# - Fusing whole operators of a network (lesson 11) is this lesson again, seen from far away: it decides which
#   producers disappear.
#
# To read on: `minicc/schedule/compute_at.py`, and Halide's eighth lesson, *Scheduling multi-stage pipelines*, which
# is the model of this one.
