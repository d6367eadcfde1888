# %% [markdown]
# # A8: A search over recorded choices
#
# How do you find good numbers for a schedule, if every try takes time and you have thirty? A tile of 4 x 8 or of 12 x 2, a panel of 16 or of 32: nobody
# knows before it was tried. Here a try is counted, not timed, so that each of you has the same machine.

# %%
import random

from workloads import matmul

from minicc.explain.draw_curves import Curve, curves

workload = matmul(8, 16, 8)
print(workload.program)

# %% [markdown]
# ## What is chosen
#
# A schedule may leave numbers open: `s.choose("rows", options, default)` records a choice in the trace. The trace can be replayed with other
# choices, which is what a tuner does. All choices together are the **space**, one option for each of them is a **point**.

# %%
workload.trace.picture()

# %%
print(workload.space)
print(len(workload.points()), "points")
print(workload.trace.replay(workload.program, {"block": 8, "rows": 2, "columns": 4}).program)

# %% [markdown]
# ## What a point costs
#
# Loads, stores, and 16 for each miss of a small cache. What lies in registers costs nothing, as long as it is no more than 32 elements: a
# large tile loads less, until it is too large. A point is tried by `measure(point)`.

# %%
rows = [1, 2, 3, 4, 6, 8]
costs = {
    columns: {n: workload.cost({"block": 32, "rows": n, "columns": columns}) for n in rows} for columns in (1, 4, 16)
}
assert costs[4][4] < costs[1][4] < costs[16][4] and costs[4][6] > costs[16][6] > costs[1][6]
shown = [Curve(f"columns: {columns}", costs[columns], f"c{at}") for at, columns in enumerate(costs, 1)]
curves("What tiles cost", shown, "rows of a tile", "cost")

# %% [markdown]
# The curves cross: with 4 rows, 4 columns are the best of these choices; with 6 rows, the worst. Choices depend on each other, so it does not do to
# look for the best number of rows first, and then for the best number of columns.
#
# ## How far luck goes
#
# All points of this space, the cheapest first. Random search with 30 trials ends, on average, where the dashed line is: it needs no
# idea, and it is what everybody is compared with. From there down to the left end is the **gap** that your search is to close.

# %%
ranked = sorted(workload.cost(point) for point in workload.points())
chance = random.Random(0)
luck = sum(min(chance.sample(ranked, 30)) for _ in range(1000)) / 1000
best = {n + 1: ranked[n] for n in range(40)}
curves(
    "The forty cheapest points",
    [Curve("a point", best), Curve("random search", dict.fromkeys(best, luck), "c2", dashed=True)],
    "rank",
    "cost",
)

# %% [markdown]
# ## 8.1 Random search
#
# Write it, with all it takes to be fair: exactly as many trials as there are, no point twice, the best of them back. If the space is
# smaller than the budget, then it finds the best point.
#
# ## 8.2 Neighbours
#
# The points that differ in one choice by one step. What is near in the space costs often nearly the same, and that is the only thing that a search
# can hope for.
#
# ## 8.3 and 8.4 Your search
#
# Anything that spends its trials well: climb, start again, fit a curve, raise a population. The grader runs it on workloads that you have
# not seen, dozens of times, each time with other names and without some of the options: so names tell nothing, and a lucky seed does not
# last. Closing half of the gap on average earns all points; a fifth of it, nothing: that much is luck.

# %%
for point in ({"block": 32, "rows": 1, "columns": 1}, {"block": 8, "rows": 4, "columns": 4}):
    print(point, "costs", workload.cost(point))

# %% [markdown]
# ## What was not told
#
# Real measurements are noisy, and take seconds; spaces have millions of points; and a model that has learned from other programs guesses costs
# before anything is measured. `minicc.schedule` records choices in just this way: the recipes of products and convolutions do.
