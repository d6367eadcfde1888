# %% [markdown]
# # A6: Schedules
#
# How fast can three loops get, if somebody thinks about them? A matrix product, a convolution and a softmax are given as naive programs. You
# hand in three files of steps, and nothing else: `matmul.trace`, `conv.trace`, `softmax.trace`. No code of yours is run; the steps
# are replayed by the grader, which counts and times what becomes of the programs.

# %%
from programs import KERNELS, PRIMITIVES, cost, scheduled

from minicc.explain.draw_bars import Bar, bars
from minicc.schedule import Schedule

print(", ".join(PRIMITIVES))

# %% [markdown]
# ## A file of steps
#
# One step in each line, as `print(s.trace)` writes them. Loops and buffers are named in quotes; a step that makes loops names them after the
# one that it had: `i_o` and `i_i`. If a name is wrong, the error shows the program as it is.

# %%
text = """
# two columns at a time, for no good reason
s.split("j", factor=2)
s.reorder("j_o", "i", "j_i", "k")
"""
s = scheduled("matmul", text, (4, 4, 4))
print(s.program)
s.picture(kind="visits")

# %% [markdown]
# It is easiest to find the steps in a notebook, or with `minicc explore --serve`, on a `Schedule` of `KERNELS["matmul"].program(48, 48, 48)`,
# and to print its trace at the end. `s.moves()` lists what may come next. The order matters: `compute_at` moves a whole nest, and so comes before
# the steps that split the axes of what was moved.
#
# ## Sizes
#
# A program is timed at the sizes of `timed`, and counted at those of `counted`. And it must be right at **any sizes from 2 on**, which the grader
# draws: 7 x 19 x 5, say. A tile that does not fit gets a guard, so that this is rarely a problem, as long as no step relies
# on a number.

# %%
for name, kernel in KERNELS.items():
    print(f"{name}: timed at {kernel.timed}, counted at {kernel.counted}")

# %% [markdown]
# ## What is counted
#
# `cost` adds up rounds, where a vector of 8 takes one, and 4 for each miss of a cache of 32 lines. Registers are few: where buffers of
# scope `local` have more than 256 elements together, all their loads and stores count as well. All points are earned at 1.2 times the cost
# of the reference, none at 10 times or at the cost of the naive program; between, points fall with the logarithm. One step may go far:

# %%
swapped = 's.reorder("i", "k", "j")'
costs = {
    name: cost(scheduled("matmul", text, (48, 48, 48)).program) for name, text in (("naive", ""), (swapped, swapped))
}
assert costs[swapped] < costs["naive"] / 4
costs["for all points"] = 27_000
bars("The cost of a product of 48 x 48 x 48", [Bar(name, n, f"{n:,}") for name, n in costs.items()])

# %% [markdown]
# ## What is timed
#
# The grader compiles your program and its own for one core with AVX2 (16 registers of 8 numbers), whatever the machine has, and calls them in
# turns; what counts is the ratio of the medians. All points at 1.2 times the time of the reference, none at 10 times. `milliseconds`
# in `programs.py` does the same for you. A program that counts no less than the naive one is not timed.
#
# ## 6.1 and 6.2: the product
#
# Where does a sum live while it grows, and how often is an element of A or of B used, once it is in a register? Assignment A1 ended with
# the answer, without vectors.

# %%
Schedule(KERNELS["matmul"].program(48, 48, 48)).picture(kind="nest")

# %% [markdown]
# ## 6.3 and 6.4: the convolution
#
# It is a product in disguise: for each of nine places, pixels by channels times channels by filters.

# %%
Schedule(KERNELS["conv"].program(7, 12, 8, 16)).picture(kind="nest")

# %% [markdown]
# ## 6.5 and 6.6: the softmax
#
# Four nests, of which each walks over all rows. Two of them reduce, and a reduction cannot be vectorized as it stands. The exponential is the
# most expensive operation; it can be vectorized like any other. What is counted does not see who waits: each maximum of one vector waits for the
# one before it. The clock sees that, and that four vectors which grow side by side wait less.

# %%
Schedule(KERNELS["softmax"].program(8, 96)).picture(kind="nest")

# %% [markdown]
# ## What was not told
#
# Several cores, wider vectors, matrices that fit no cache: for these, a product is packed in panels and blocked for each level of cache,
# which `minicc/recipes/gemm.py` does. Intrinsics (`tensorize`) are not allowed here, and would not help.
