# %% [markdown]
# # A matrix product, from naive to fast
#
# Three loops multiply two matrices. Written down as they come, they use a percent or so of what one
# core can do. In this lesson we rearrange them, one step at a time, until nearly all of it is used. No
# step changes what is computed, and none is hidden: each is a *schedule primitive*, a rewrite of a
# loop program that the compiler checks before it does it.
#
# Run this file as a script, or open it as a notebook (the cells start with `# %%`). With a name,
# `python 02_matmul_from_naive_to_fast.py speed.svg`, it also draws its bar chart to that file.

# %%
import itertools
import sys
import time
from pathlib import Path

import numpy as np

import minicc
from minicc import te
from minicc.runtime.roofline import measure_peak
from minicc.target import Target

n = 576  # = 18 * 32 = 96 * 6 = 36 * 16: every tile below divides it
one_core = Target.native().with_threads(1)
lanes = one_core.lanes("float32")
peak = measure_peak(one_core)
print(f"{one_core.cpu}: vectors of {lanes} float32, at most {peak / 1e9:.0f} GFLOP/s on one core")

# %% [markdown]
# ## The yardstick
#
# The peak was measured with a loop that does nothing but fused multiply-adds on registers. No program
# can be faster; how close we come is the only number that means something on every machine.
#
# `measure` builds a schedule, prints its loop program, compares the result with NumPy's, and keeps the
# best of a few runs. CPU time is not disturbed by whatever else runs; with several threads we need the
# wall clock.

# %%
rng = np.random.default_rng(0)
a, b = rng.random((n, n), np.float32), rng.random((n, n), np.float32)
expected = a.astype(np.float64) @ b.astype(np.float64)
results = {}


def measure(title, s, tensors, target=one_core):
    """Print the program of a schedule, check it, and keep its GFLOP/s."""
    print(f"\n==== {title}\n\n{minicc.lower(s, tensors, 'matmul')}")
    f = minicc.build(s, tensors, target=target, name="matmul")
    c = np.zeros((n, n), np.float32)
    clock = time.process_time if target.threads == 1 else time.perf_counter
    taken = []
    while len(taken) < 3 or (sum(taken) < 0.5 and len(taken) < 50):
        start = clock()
        f(a, b, c)
        taken.append(max(clock() - start, 1e-6))
    np.testing.assert_allclose(c, expected, rtol=1e-4)
    results[title] = 2 * n**3 / min(taken)
    print(
        f"---- {results[title] / 1e9:.1f} GFLOP/s, {results[title] / (peak * target.threads):.1%} of the measured peak"
    )
    return f


# %% [markdown]
# ## 0. What to compute
#
# `te` says what each element of `C` is. It does not say in which order; `create_schedule` starts
# with the obvious one. Each element of `C` walks down a column of `B`: every step of the innermost loop
# jumps a whole row ahead in memory, and waits for the addition before it.


# %%
def product(n=n):
    """Fresh tensors of C = A @ B."""
    A, B = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return A, B, C, k


A, B, C, k = product()
s = te.create_schedule(C.op)
measure("naive", s, [A, B, C])

# %% [markdown]
# ## 1. Blocking
#
# The caches are small: by the time a row of `A` is needed again, `B` has washed it out. `tile` cuts the
# loops so that a block of 32 x 32 elements of `C` is finished before the next begins; the rows and
# columns that it needs stay in the cache meanwhile.

# %%
A, B, C, k = product()
s = te.create_schedule(C.op)
i, j = C.op.axis
i_outer, j_outer, i_inner, j_inner = s[C].tile(i, j, 32, 32)
k_outer, k_inner = s[C].split(k, factor=4)
s[C].reorder(i_outer, j_outer, k_outer, k_inner, i_inner, j_inner)
measure("blocking", s, [A, B, C])

# %% [markdown]
# Times differ from machine to machine, counts do not. At a smaller size, `counts` runs the program through
# a simulated cache, which is smaller, too. Blocking loads and stores as often as before, but rarely misses: a
# block of `C` (8 lines), of `A` (8 lines) and four rows of a block of `B` fit into the 32 lines of this cache, where
# a column of `B` alone takes 48. Can you work out the misses by hand?

# %%
_, _, D, r = product(48)
small = te.create_schedule(D.op)
cache = te.Cache(2 << 10, line=64, ways=8)
print(small.counts(caches=[cache]))
y_outer, x_outer, y_inner, x_inner = small[D].tile(*D.op.axis, 8, 16)
r_outer, r_inner = small[D].split(r, factor=4)
small[D].reorder(y_outer, x_outer, r_outer, r_inner, y_inner, x_inner)
print(small.counts(caches=[cache]))

# %% [markdown]
# ## 2. Vectorization
#
# The innermost loop now runs over neighbours in memory, `B[k, j]` and `C[i, j]`, and its iterations
# are independent. So they can run at once, in the lanes of a vector register.

# %%
s[C].vectorize(j_inner)
measure("vectorization", s, [A, B, C])

# %% [markdown]
# ## 3. Loop permutation
#
# With `k_inner` outside of `i_inner`, each step visits the whole block. The other way around a row of the
# block stays in registers for all of `k_inner`: fewer trips to the cache. (Loops cannot be moved once
# they are vectors, so we schedule anew.)

# %%
A, B, C, k = product()
s = te.create_schedule(C.op)
i, j = C.op.axis
i_outer, j_outer, i_inner, j_inner = s[C].tile(i, j, 32, 32)
k_outer, k_inner = s[C].split(k, factor=4)
s[C].reorder(i_outer, j_outer, k_outer, i_inner, k_inner, j_inner)
s[C].unroll(k_inner)
s[C].vectorize(j_inner)
measure("loop permutation", s, [A, B, C])

# %% [markdown]
# ## 4. Packing
#
# A block of `B` is 32 columns wide, but its rows lie 576 elements apart. We store `B` once more, panel
# by panel: then the innermost loops read memory from front to back. Packing is a tensor like any other,
# and its time is counted below.


# %%
def packed_product(width):
    """C = A @ B, where B is first packed in panels of `width` columns."""
    A, B = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    P = te.compute((n // width, n, width), lambda panel, row, lane: B[row, panel * width + lane], name="P")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * P[j // width, k, j % width], axis=k), name="C")
    return A, B, P, C, k


A, B, P, C, k = packed_product(32)
s = te.create_schedule(C.op)
s[P].vectorize(P.op.axis[2])
i, j = C.op.axis
i_outer, j_outer, i_inner, j_inner = s[C].tile(i, j, 32, 32)
k_outer, k_inner = s[C].split(k, factor=4)
s[C].reorder(i_outer, j_outer, k_outer, i_inner, k_inner, j_inner)
s[C].unroll(k_inner)
s[C].vectorize(j_inner)
measure("packing", s, [A, B, C])

# %% [markdown]
# ## 5. A cache for the writes
#
# Sums are still added up in `C`, whose rows lie far apart. `cache_write` adds them up in a small block of
# its own, and copies it when it is done; `compute_at` says where the block is computed, so that it is
# small at all.

# %%
A, B, P, C, k = packed_product(32)
s = te.create_schedule(C.op)
s[P].vectorize(P.op.axis[2])
S = s.cache_write(C, "local")
i, j = s[C].op.axis
i_outer, j_outer, i_inner, j_inner = s[C].tile(i, j, 32, 32)
s[S].compute_at(s[C], j_outer)
s[C].vectorize(j_inner)
row, column = s[S].op.axis
(k,) = s[S].op.reduce_axis
k_outer, k_inner = s[S].split(k, factor=4)
s[S].reorder(k_outer, row, k_inner, column)
s[S].unroll(k_inner)
s[S].vectorize(column)
measure("cache write", s, [A, B, C])

# %% [markdown]
# ## 6. A register tile
#
# A block of 32 x 32 sums fits the cache, but no register file. A tile of 6 rows by 2 vectors does: 12
# registers of sums, 2 for the vectors of a row of `P`, one for an element of `A`. Each step of `k` loads 2
# vectors and 6 elements, and does 12 multiply-adds with them.
#
# The program below asks for that tile, and is *slower* than the one before: registers have no address, so
# a loop over the rows of the tile cannot choose one at run time. The tile is kept in memory, and each of its
# sums waits for the store of the step before. One more step is missing.


# %%
def tiled(unroll):
    """The schedule of 6 x 2 tiles, its rows unrolled or not."""
    A, B, P, C, k = packed_product(2 * lanes)
    s = te.create_schedule(C.op)
    s[P].vectorize(P.op.axis[2])
    S = s.cache_write(C, "local")
    i, j = s[C].op.axis
    i_outer, j_outer, i_inner, j_inner = s[C].tile(i, j, 6, 2 * lanes)
    s[C].reorder(j_outer, i_outer, i_inner, j_inner)  # a panel of P is used by all rows before the next
    s[S].compute_at(s[C], i_outer)
    row, column = s[S].op.axis
    (k,) = s[S].op.reduce_axis
    s[S].reorder(k, row, column)
    if unroll:
        s[S].unroll(row)
        s[C].unroll(i_inner)
    s[S].vectorize(column)
    s[C].vectorize(j_inner)
    return s, [A, B, C], j_outer


s, tensors, _ = tiled(unroll=False)
measure("register tile", s, tensors)

# %% [markdown]
# ## 7. Unrolling
#
# Unrolled, every row of the tile is known by its number, and gets its registers. Look at the inner loop
# of the machine code: two loads, six broadcasts, twelve multiply-adds, and nothing else but the counter.

# %%
s, tensors, _ = tiled(unroll=True)
f = measure("unrolling", s, tensors)

lines = f.source("asm").splitlines()
starts = [at for at, line in enumerate(lines) if line.startswith(".LBB")] + [len(lines)]
parts = [lines[start:end] for start, end in itertools.pairwise(starts)]
loop = max(parts, key=lambda part: sum("fma" in line or "fmla" in line for line in part))
jump = next((at for at, line in enumerate(loop) if line.split()[0] in ("jne", "b.ne")), len(loop))
print("\n".join(loop[: jump + 1]))

# %% [markdown]
# ## 8. Parallel
#
# Panels of `C` do not depend on each other, so the threads share them out. Packing is shared as well:
# left to one thread, it would soon be what everybody waits for.

# %%
s, tensors, j_outer = tiled(unroll=True)
s["P"].parallel(s["P"].op.axis[0])
s["C"].parallel(j_outer)
everyone = Target.native()
measure(f"parallel, {everyone.threads} threads", s, tensors, everyone)

# %% [markdown]
# ## What we did
#
# The schedule is a list of steps. It can be printed, changed, and replayed; `minicc.recipes.gemm` is such
# a list for matrices of any size, with its tiles computed from the target.

# %%
print(s.trace)
assert len(s.trace) < 25
assert s.trace.replay(s.schedule.start).program is s.program

# %% [markdown]
# ## The chart
#
# As text, and as a picture: SVG is text, too.


# %%
def text_chart(rates):
    """A line of blocks for each bar."""
    most = max(rates.values())
    return "\n".join(
        f"{name:20} {'█' * max(1, round(40 * rate / most)):40} {rate / 1e9:6.1f} GFLOP/s"
        for name, rate in rates.items()
    )


def svg_chart(rates, line, step=34, left=170, width=420):
    """The bars as SVG, and a dashed line at `line`."""
    scale = width / max(*rates.values(), line)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 130}" height="{len(rates) * step + 40}" '
        'font-family="sans-serif" font-size="14"><rect width="100%" height="100%" fill="white"/>'
    ]
    x, bottom = left + line * scale, len(rates) * step + 10
    out.append(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}" stroke="#b03030" stroke-dasharray="5 4"/>'
        f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#b03030">peak of one core</text>'
    )
    for at, (name, rate) in enumerate(rates.items()):
        y = at * step + 10
        out.append(
            f'<text x="{left - 10}" y="{y + 18}" text-anchor="end">{name}</text>'
            f'<rect x="{left}" y="{y}" width="{max(rate * scale, 1):.1f}" height="{step - 8}" fill="#4878a8"/>'
            f'<text x="{left + rate * scale + 8:.1f}" y="{y + 18}" stroke="white" stroke-width="5" paint-order="stroke">'
            f"{rate / 1e9:.1f} GFLOP/s</text>"
        )
    out.append("</svg>")
    return "\n".join(out)


print(text_chart(results))
picture = svg_chart(results, peak)
if sys.argv[-1].endswith(".svg"):
    Path(sys.argv[-1]).write_text(picture, encoding="utf-8")
