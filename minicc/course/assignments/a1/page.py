# %% [markdown]
# # A1: Loop puzzles
#
# How few cache misses, loads and stores can a program do with, if only the order of its loops may change, and where
# a value waits until it is needed? Eleven little programs, each with a goal that can be counted. For each you write a function of two
# to eight lines, in `puzzles.py`.
#
# Nothing can go wrong with the results: what you write is a schedule, and each of its steps is checked. What can go wrong is
# the goal. It is a number, and the same number on every machine.

# %%
from programs import CACHE, PUZZLES, costs

from minicc.schedule import Schedule


def start(name, *sizes):
    """A schedule without steps of the program of a puzzle, at its own sizes or at others."""
    puzzle = PUZZLES[name]
    return Schedule(puzzle.program(*(sizes or puzzle.sizes)))


def before(name):
    """What the program costs before anything is done."""
    return costs(start(name).program, PUZZLES[name].counted)


# %% [markdown]
# ## How it is done
#
# A function gets a program, makes a schedule of it, and returns the trace. This one improves nothing, but it shows the form. The names
# in quotes are those of the loops, which you find in the program as it is printed.


# %%
def example(program):
    s = Schedule(program)
    outer, inner = s.split("j", factor=4)
    s.reorder(outer, "i", inner)
    return s.trace


s = start("whole_vectors", 4, 8)
print(s.program)
example(s.program).replay(s.program).picture(kind="visits")

# %% [markdown]
# In the picture a square is written, a dot is read, and the number says which came first. `s.moves()` lists all that may be done next,
# `s.undo()` takes a step back. What counts is printed by `costs`; the words are explained in `programs.py`. The cache of the
# puzzles has 32 lines, and a line holds 16 elements of a matrix.

# %%
print(CACHE)
start("along_rows").counts(caches=[CACHE])

# %% [markdown]
# ## 1.1 Along the rows
#
# S[j] adds up column j of A. Look at the numbers in A: they go down, and each of them is in another line. **Goal: every line of A misses
# once, 260 misses in all.** You need `reorder`.

# %%
print(before("along_rows"))
start("along_rows", 8, 8).picture(kind="visits")

# %% [markdown]
# ## 1.2 Stay in the cache
#
# T is A turned around. If T is written by rows, A is read by columns; the other way around it is no better. The picture has a
# cache of its own, of 8 lines of 8 elements, and shows how often an element misses. **Goal: every line misses once, 512 in all.** You need
# `split` and `reorder`, or `tile`, which is both.

# %%
print(before("in_tiles"))
start("in_tiles", 16, 16).picture(kind="heat", caches=[type(CACHE)(8 * 32, line=32, ways=None)])

# %% [markdown]
# ## 1.3 Whole vectors
#
# A vector holds 8 elements, a row of this matrix 12. If each row is cut on its own, every second vector is half empty. **Goal: 36 rounds,
# which is 24 x 12 / 8, and no condition.** You need `fuse`, `split` and `vectorize`.

# %%
print(before("whole_vectors"))
start("whole_vectors", 4, 6).picture(kind="visits")

# %% [markdown]
# ## 1.4 Nothing to ask in the middle
#
# Each element adds its neighbours, if it has them. Only the first and the last have not, and yet all of them ask, twice. **Goal:
# no question.** You need `partition_loop`.

# %%
print(before("calm_middle"))
print(start("calm_middle").program)
start("calm_middle", 8).picture(kind="visits")

# %% [markdown]
# ## 1.5 Ask once a row
#
# B has a frame of zeros above and below. Whether a row is in the frame does not depend on j. **Goal: two questions for each of
# the 18 rows, 36.** You need `unswitch`.

# %%
print(before("ask_once"))
print(start("ask_once").program)
start("ask_once", 4, 6).picture(kind="visits")

# %% [markdown]
# ## 1.6 Keep a few rows
#
# X is a blur along rows, B one of X along columns. X is computed as a whole before B begins: 34 rows of 16 elements. If a row of B computes the
# three rows of X that it needs, that is little room, and three times the work. **Goal: room for 96 elements, at most 2,560
# flops.** You need `split` and `compute_at`.

# %%
print(before("few_rows"))
start("few_rows", 6, 6).picture(kind="nest")

# %% [markdown]
# ## 1.7 Store nothing between
#
# Three stages: the greatest element of a row, the differences to it, their exponentials. The differences are stored and read again, for
# nothing. **Goal: 512 loads, 264 stores, room for 8.** You need `compute_inline`; the maximum cannot be inlined: try it, and read why.

# %%
print(before("nothing_between"))
start("nothing_between", 4, 6).picture(kind="nest")

# %% [markdown]
# ## 1.8 Read once
#
# In a product, the rows of A are read for each column of B, and the columns of B for each row of A. **Goal: each element of B is read from
# memory once: 8,000 loads instead of 11,520, with room for 20.** You need `reorder`, `cache_read` and `compute_at`.

# %%
print(before("read_once"))
start("read_once", 4, 5, 6).picture(kind="heat")

# %% [markdown]
# ## 1.9 Add up in a register
#
# `S[i] = S[i] + A[i, k]` loads S and stores it, each time. **Goal: 384 loads, all of A, and 16 stores, with room for 1.** You need
# `cache_write` and `compute_at`.

# %%
print(before("in_a_register"))
start("in_a_register", 4, 6).picture(kind="heat")

# %% [markdown]
# ## 1.10 Eight sums at once
#
# The same sum, and a vector unit that has nothing to do: an addition waits for the one before. Eight sums of every eighth element do not
# wait for each other. **Goal: 72 rounds; 48 of them add up 3 x 128 elements, 24 combine the sums.** You need `split`, `rfactor` and `vectorize`. (A vector
# across rows would be wasted: there are three of them, and eight lanes.)

# %%
print(before("eight_sums"))
start("eight_sums", 2, 16).picture(kind="nest")

# %% [markdown]
# ## 1.11 A tile in registers
#
# What makes a matrix product fast is that a number, once loaded, is used several times. **Goal: 2,048 loads, which is one for
# each 4 columns or rows; 256 stores; room for 24: 16 sums, 4 elements of A, 4 of B.** You need all but vectors.

# %%
print(before("register_tile"))
start("register_tile", 4, 4, 4).picture(kind="visits")

# %% [markdown]
# ## What was not told
#
# A count is not a time. The cache here is smaller than any real one, and fetches nothing on its own; a load that hits costs as much
# here as one that misses, if only loads are counted. Assignment A6 is about time, with the same steps.
