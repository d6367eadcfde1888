# %% [markdown]
# # Search, and a GPU without a GPU
#
# How wide should a tile be? Lesson after lesson we chose a number, and gave a reason. But reasons end: with three tile
# sizes and two orders of loops there are thousands of schedules, and nobody reasons about each. **Can a machine choose
# for us, and how does it know that it has found something good?**
#
# In the second half we go to a machine that we do not have: a GPU, with thousands of threads. All that it does can be
# understood with twenty lines of Python.

# %%
import importlib.util
import itertools
import random
import time

import numpy as np

import minicc
from minicc import te
from minicc.course.checks import lesson_14 as check
from minicc.explain.draw_curves import Curve, curves
from minicc.loop import lower, run_python
from minicc.schedule import Schedule
from minicc.te import Cache

# %% [markdown]
# ## 1. Choices that are written down
#
# Here is a product of matrices again. Each of its three loops is cut into tiles, then the outer loops are put in some
# order, and so are the inner ones. The five numbers are not simply written into the program: `s.choose` *records* them,
# with a name, the options, and a default.


# %%
def product(n):
    """The naive program of a product of n x n matrices."""
    A, B = (te.placeholder((n, n), name=name) for name in "AB")
    k = te.reduce_axis((0, n), "k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return lower([C], [A, B, C], "product").program


ORDERS = list(itertools.permutations("ijk"))
OPTIONS = {"tile_i": (1, 2, 4, 8, 16), "tile_j": (1, 2, 4, 8, 16), "tile_k": (1, 2, 4, 8, 16)}
OPTIONS |= {"outer": tuple(range(6)), "inner": tuple(range(6))}


def recipe(program, choices=None):
    """The schedule for these choices."""
    s = Schedule(program, choices)
    outer, inner = {}, {}
    for loop in "ijk":
        outer[loop], inner[loop] = s.split(loop, factor=s.choose(f"tile_{loop}", OPTIONS[f"tile_{loop}"], 4))
    first, last = (ORDERS[s.choose(where, OPTIONS[where], 0)] for where in ("outer", "inner"))
    s.reorder(*[outer[loop] for loop in first], *[inner[loop] for loop in last])
    return s


print(recipe(product(16)).trace)

# %% [markdown]
# The trace has the choices in it. So somebody else can read what may be chosen, and replay the recipe with other
# numbers, without knowing what they mean. All combinations together are the **search space**.

# %%
space = 1
for options in OPTIONS.values():
    space *= len(options)
print(f"{space:,} schedules; another one of them has these loops:")
other = recipe(product(16), {"tile_i": 8, "tile_j": 16, "outer": 5, "inner": 2})
print("  ", " ".join(other.loops_of("C")))
assert space == 5**3 * 6**2 == 4500
other.picture(kind="nest")

# %% [markdown]
# Every one of them is right, since every step is checked. They differ only in what they cost. That is what makes search
# in a compiler pleasant: the worst that a bad choice can be is slow.
#
# ## 2. What is good?
#
# To search is to compare, so each schedule needs a number. The honest number is a time, measured. But measuring takes
# long, and the same schedule gives another number tomorrow. A **cost model** is a formula in place of the clock. Ours
# counts: ten for each miss of a small cache of eight lines, each as long as a row of 16 numbers, and one for each trip of a loop. It gives the same number on
# every machine.


# %%
def costs(n, lines):
    """A function that gives the counted cost of choices: of n x n matrices, with a cache of so many lines of 64 bytes."""
    program, cache, known = product(n), Cache(64 * lines, line=64, ways=None), {}

    def cost(choices):
        key = tuple(choices[name] for name in OPTIONS)
        if key not in known:
            counted = recipe(program, choices).counts(caches=[cache])
            known[key] = 10 * counted.misses[0] + counted.trips
        return known[key]

    return cost


cost = costs(16, 8)
default = {name: options[0] for name, options in OPTIONS.items()}
tiles = {size: cost({**default, "tile_i": size, "tile_j": size, "tile_k": size}) for size in (1, 4, 8)}
for size, value in tiles.items():
    print(f"tiles of {size} x {size} x {size}: {value:,}")
assert tiles[4] < tiles[1] / 4 and tiles[8] > 3 * tiles[4]

# %% [markdown]
# Tiles of four are more than four times better than none. Tiles of eight are nearly as bad as none: three tiles of eight
# lines do not fit into eight lines. Who guesses is soon wrong.
#
# Does the model know anything about a real machine? We draw sixteen schedules, count each for small matrices, and measure
# each for larger ones. If the two numbers put the schedules in the same order, the model is good, whatever its unit is.
# How far two orders agree is their **rank correlation**: 1 if they are the same, 0 if they have nothing to do with each
# other, -1 if one is the other, reversed.


# %%
def drawn(options, rng):
    """A random point of a space."""
    return {name: rng.choice(values) for name, values in options.items()}


def seconds(program, choices, arrays, runs=5):
    """The shortest of some runs."""
    f, taken = minicc.build(recipe(program, choices)), []
    for _ in range(1 + runs):
        start = time.perf_counter()
        f(*arrays)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def rank_correlation(a, b):
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return np.corrcoef(*ranks)[0, 1]


rng = random.Random(0)
some = [drawn(OPTIONS, rng) for _ in range(16)]
counted = list(map(costs(32, 32), some))
large, arrays = product(256), [np.random.default_rng(0).random((256, 256), np.float32) for _ in range(3)]
measured = [seconds(large, choices, arrays) * 1e3 for choices in some]
print(f"rank correlation of counted cost and measured time: {rank_correlation(counted, measured):.2f}")
by_cost = [measured[k] for k in np.argsort(counted)]
curves("From the least counted cost to the greatest", [Curve("milliseconds", dict(enumerate(by_cost, 1)))],
       "rank by counted cost", "measured milliseconds")  # fmt: skip

# %% [markdown]
# Usually more than nothing, and less than all: we saw numbers from 0.3 to 0.7. Our model does not know that neighbouring elements fit into vectors, that an
# addition has to wait for the one before, or that there are three caches. Real tuners learn their model from what they
# have measured; the principle stays: let a cheap number choose what is worth an expensive one.
#
# ## 3. Random search
#
# The simplest search draws points and keeps the best: **random search**. It is hard to beat if good points are
# frequent, and a disgrace for a clever method that loses to it. So it comes first, always.


# %%
def random_search(cost, options, rng, trials):
    """The cost of each point that was tried."""
    return [cost(drawn(options, rng)) for _ in range(trials)]


# %% [markdown]
# ## 4. Evolution
#
# A good schedule has good parts, and most of what is near it is good as well. So do not begin anew each time: take
# one of the best so far, change it a little, and see. That is **evolutionary search**, and the change is its *mutation*.


# %%
def redraw(choices, options, rng):
    """A mutation: each number is drawn anew, or stays, with equal probability."""
    return {name: rng.choice(options[name]) if rng.random() < 0.5 else value for name, value in choices.items()}


def evolve(cost, options, mutate, rng, trials, first=8, parents=4):
    """The cost of each point that was tried: some random ones, then children of the best."""
    tried = [(cost(choices), choices) for choices in (drawn(options, rng) for _ in range(first))]
    while len(tried) < trials:
        best = sorted(tried, key=lambda each: each[0])[:parents]
        child = mutate(dict(rng.choice(best)[1]), options, rng)
        tried.append((cost(child), child))
    return [value for value, _ in tried]


same = np.prod([0.5 + 0.5 / len(values) for values in OPTIONS.values()])
print(f"{same:.1%} of all children are their parent again")
assert 1 / 15 < same < 1 / 13
TRIALS, SEEDS = 40, 4


def best_so_far(search):
    """The best cost after each number of trials, the mean over some seeds."""
    return np.mean([np.minimum.accumulate(search(random.Random(seed))) for seed in range(SEEDS)], axis=0)


by_chance = best_so_far(lambda rng: random_search(cost, OPTIONS, rng, TRIALS))
evolved = best_so_far(lambda rng: evolve(cost, OPTIONS, redraw, rng, TRIALS))
least = min(cost(drawn(OPTIONS, rng)) for _ in range(200))  # what a long search finds
for trials in (8, 16, 40):
    print(
        f"after {trials} trials: random {by_chance[trials - 1]:,.0f}, evolved {evolved[trials - 1]:,.0f}, after 200: {least:,}"
    )
assert evolved[-1] < by_chance[-1]
above = {name: {n: 100 * (float(best[n - 1]) / least - 1) for n in range(8, TRIALS + 1)}
         for name, best in (("random", by_chance), ("evolved", evolved))}  # fmt: skip
shown = [Curve("random", above["random"]), Curve("evolved", above["evolved"], "c2")]
curves("Best so far", shown, "trials", "per cent above what 200 trials find")

# %% [markdown]
# Forty trials of 4,500. That is the measure of a search: not what it finds in the end, but what it has found when the
# budget is spent.
#
# ## 5. Blocks and threads
#
# Now to the other machine. A GPU runs one small program many times at once. Each run is a *thread*, and a thread knows
# only one thing that the others do not: its number. Threads come in groups, each of which is a **thread block**, and the
# blocks have numbers, too. In a schedule this is a loop that is bound: its trips become blocks, or threads.

# %%
n = 10
A, B = (te.placeholder((n,), name=name) for name in "AB")
C = te.compute((n,), lambda i: A[i] + B[i], name="C")
s = te.create_schedule(C.op)
block, thread = s[C].split(C.op.axis[0], factor=4)
s[C].bind(block, te.thread_axis("blockIdx.x"))
s[C].bind(thread, te.thread_axis("threadIdx.x"))
vecadd = minicc.lower(s, [A, B, C], name="vecadd")
print(vecadd)

# %% [markdown]
# It is still a program that runs here, one thread after another. That is enough to see which thread touches what: wait
# for the dots to go through the blocks, four threads each. And look at the last block: two of its threads do
# nothing, as 4 does not divide 10. That is the guard of the split.

# %%
a, b, c = np.float32([*range(10)]), np.full(10, 100, np.float32), np.zeros(10, np.float32)
run_python(vecadd, a, b, c)
assert np.array_equal(c, a + b)
s.picture(kind="visits")

# %% [markdown]
# A loop whose trips depend on each other cannot be bound, as all of them happen at once. Were a sum bound to threads,
# they would all add to the same number: a race. minicc refuses it.

# %%
k = te.reduce_axis((0, n), name="k")
total = te.compute((1,), lambda i: te.sum(A[k], axis=k), name="total")
summed = te.create_schedule(total.op)
try:
    summed[total].bind(k, te.thread_axis("threadIdx.x"))
    raise AssertionError("this must be refused")
except minicc.MiniccError as error:
    print(str(error).splitlines()[0])

# %% [markdown]
# ## 6. A GPU in twenty lines
#
# On a real GPU one writes what *one* thread does, and launches it. Let us build that. A kernel is a Python function
# that gets the number of its block and of its thread.
#
# Threads of a block may work together. They have a little fast memory in common, the **shared memory**. There is a
# danger: a thread may read there what another one has not yet written. For this there is the **barrier**: a thread that
# comes to it waits until all threads of its block have come. In our emulator a kernel is a generator, and `yield` is
# the barrier: Python stops there, and goes on when we say `next`.


# %%
def launch(kernel, blocks, threads, *arrays, order=iter):
    """Run all threads of all blocks; `order` says in which order threads come between two barriers."""
    for block in range(blocks):
        shared = np.full(threads, np.nan, np.float32)
        started = {t: kernel(block, t, threads, shared, *arrays) for t in order(range(threads))}
        waiting = [t for t in started if started[t] is not None]  # a kernel without a barrier has run already
        while waiting:
            still = [t for t in order(sorted(waiting)) if next(started[t], "end") != "end"]
            assert len(still) in (0, len(waiting)), "a barrier that some threads miss: a GPU would hang"
            waiting = still


def add(block, thread, threads, shared, x, y, z):
    i = block * threads + thread
    if i < len(z):
        z[i] = x[i] + y[i]


z = np.zeros(10, np.float32)
launch(add, 3, 4, a, b, z)
assert np.array_equal(z, a + b)
print(z)

# %% [markdown]
# ## 7. A race
#
# Now threads that work together: a block turns its part of an array around. Each thread fetches one element into
# shared memory, and writes another one. First without a barrier, with the threads in order, and then in the
# opposite order. A GPU promises no order at all.


# %%
def turn_racing(block, thread, threads, shared, x, y):
    shared[thread] = x[block * threads + thread]
    y[block * threads + thread] = shared[threads - 1 - thread]


def turn(block, thread, threads, shared, x, y):
    shared[thread] = x[block * threads + thread]
    yield  # the barrier
    y[block * threads + thread] = shared[threads - 1 - thread]


def ran(kernel, order):
    x, y = np.arange(8, dtype=np.float32), np.zeros(8, np.float32)
    launch(kernel, 2, 4, x, y, order=order)
    return y


for kernel in (turn_racing, turn):
    print(f"{kernel.__name__:12} first to last {ran(kernel, iter)}, last to first {ran(kernel, reversed)}")
assert np.isnan(ran(turn_racing, iter)).any()
assert np.array_equal(ran(turn, iter), [3, 2, 1, 0, 7, 6, 5, 4]) and np.array_equal(
    ran(turn, iter), ran(turn, reversed)
)

# %% [markdown]
# Without the barrier there are NaNs, which stood in the fresh memory; and *which* elements are wrong depends on the
# order. That is what makes races so nasty: the same program is right on Monday.
#
# In minicc nobody writes barriers. A buffer is put into shared memory, and a loop that fills it is bound to the same
# threads. It is the loop that says who needs what, and the code generator puts the barrier where it has to be. For the
# text of the device minicc asks TVM; if that is here, you see `__syncthreads()`, the barrier, in CUDA:

# %%
X = te.placeholder((16,), name="X")
Y = te.compute((16,), lambda i: X[15 - i], name="Y")
s = te.create_schedule(Y.op)
XS = s.cache_read(X, "shared", [Y])
block, thread = s[Y].split(Y.op.axis[0], factor=8)
s[Y].bind(block, te.thread_axis("blockIdx.x"))
s[Y].bind(thread, te.thread_axis("threadIdx.x"))
s[XS].compute_at(s[Y], block)
s[XS].bind(s[XS].op.axis[0], te.thread_axis("threadIdx.x"))
turned = minicc.lower(s, [X, Y], name="turned")
x, y = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
run_python(turned, x, y)
assert np.array_equal(y, x[::-1])
if importlib.util.find_spec("tvm"):
    source = minicc.build(s, [X, Y], target="cuda", name="turned").source()
    print(source[source.rindex('extern "C"') :].strip())
    assert "__syncthreads();" in source
s.picture(kind="nest")

# %% [markdown]
# With `target="emulated"` in place of `"cuda"` this very text is compiled for the CPU, with something like a generator
# for each thread, and runs: our twenty lines again, but for all of CUDA that minicc uses.

# %% [markdown]
# ### Exercise 1
#
# The inner tile has to fit into registers, say: `tile_i * tile_j` may be 32 at most. How many of the 4,500 schedules are
# left?
#
# <details><summary>Hint</summary>
# List the pairs of `tile_i` and `tile_j` that are allowed. `tile_k` and the orders are as free as before.
# </details>

# %%
answer = ...
check.ex1(answer, OPTIONS)

# %% [markdown]
# ### Exercise 2
#
# `redraw` is wasteful: one child in fourteen is its parent again, and others have hardly anything of it. Write a mutation that
# changes *exactly one* number, to another one of its options, and that can reach all of them. (Is it better? The check
# says how both do on a product that you have not seen. With 40 trials luck is a large part of it.)


# %%
def mutate(choices, options, rng):
    return ...


check.ex2(mutate, evolve, costs, OPTIONS, redraw)

# %% [markdown]
# ### Exercise 3
#
# Each thread computes *four* elements: those of thread 0 of block 0 are 0, 1, 2, 3, those of thread 1 are 4, 5, 6, 7, and
# so on. Which thread of which block computes element `i`, if a block has so many threads? Return both numbers.


# %%
def place(i, threads):
    return ...  # block, thread


check.ex3(place)

# %% [markdown]
# ### Exercise 4
#
# This kernel lacks something. Written for an array whose length the threads divide, it touches memory that is not its own
# for all others. Repair it. (`launch` gives it as many blocks as are needed, and arrays that know when they are touched
# where they are not.)


# %%
def shifted(block, thread, threads, shared, x, y):
    """y[i] = x[i + 1] - x[i]; the last element of y is 0."""
    return ...  # i = block * threads + thread; y[i] = x[i + 1] - x[i]


check.ex4(shifted, launch)

# %% [markdown]
# ## Words
#
# - **search space**: all combinations of what may be chosen
# - **cost model**: a formula that stands for a measured time
# - **rank correlation**: how much two orders of the same things agree, from -1 to 1
# - **random search**: drawing points and keeping the best
# - **evolutionary search**: changing the best so far a little, again and again
# - **thread block**: threads of a GPU that run together and share memory
# - **shared memory**: fast memory that the threads of a block have in common
# - **barrier**: a place where each thread waits until all threads of its block have come

# %% [markdown]
# ## What was not told
#
# - Real tuners learn their cost model while they measure: read about AutoTVM (2018), Ansor (2020) and MetaSchedule (2022).
#   Halide's autoscheduler (Adams and others, 2019) searches with a beam, and trusts its model.
# - minicc's own recipes choose by estimates of the target, and hardly need a search; `schedules=` of `minicc.compile` takes
#   the choices that you have found.
# - Of GPUs we left out what makes them fast: warps, which are 32 threads with one instruction; neighbouring threads that
#   read neighbouring addresses; hiding the latency of memory behind other blocks; tensor cores.
# - Our emulator finds a race only if an order shows it. Tools such as NVIDIA's `compute-sanitizer` watch each address.
# - If puzzles are your thing: GPU-Puzzles by Sasha Rush has fourteen, and you know all the rules now.
