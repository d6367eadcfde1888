# %% [markdown]
# # Split, reorder, fuse
#
# Last time you read loops. Today you change them. The elements of a tensor can be computed in many orders, and on a
# real machine some are many times as fast as others. *How do you get from one order to another, and stay right?*
#
# You will not write a single loop. You say what is to happen to them.

# %%
import json

import numpy as np

import minicc
from minicc import te
from minicc.course.checks import lesson_04 as check
from minicc.course.orders import order
from minicc.schedule import Trace
from minicc.schedule.step import STEPS, loops_text

# %% [markdown]
# ## The plainest order
#
# `G` is twice `A`. There is little to compute, so that there is much to see. `te.create_schedule` makes a
# **schedule**: it holds the program, and you can change the program through it. Rows come one after the other, as the
# picture shows.


# %%
def plain(*shape):
    """A fresh schedule of G, which is twice A."""
    A = te.placeholder(shape, name="A")
    formula = (lambda i: A[i] * 2.0) if len(shape) == 1 else (lambda i, j: A[i, j] * 2.0)
    G = te.compute(shape, formula, name="G")
    return te.create_schedule(G.op).schedule


s = plain(4, 6)
s.picture(kind="visits", buffer="G")

# %% [markdown]
# ## Reorder
#
# `s.reorder("j", "i")` puts the loop over `j` outside and the loop over `i` inside. Nothing else changes, not even
# the line in the middle. Yet now the columns come one after the other.

# %%
s.reorder("j", "i")
s.picture(kind="visits", buffer="G")

# %%
assert len(STEPS) > 20
assert order(s, "G")[:5] == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)]

# %% [markdown]
# `reorder` is a **primitive**: a kind of step that a schedule can take. minicc has more than twenty; three of them do
# most of the work. Loops are called by their names, outermost first, and every name occurs only once.
#
# ## Split
#
# `s.split("j", factor=2)` makes two loops of one. The inner one makes 2 trips, the outer one as many as are needed.
# It returns their names, `j_o` and `j_i`, for *outer* and *inner*. The picture shows what the step takes away and
# what it brings:

# %%
s = plain(4, 6)
assert s.split("j", factor=2) == ("j_o", "j_i")
s.picture()

# %% [markdown]
# Look at the indices. Wherever `j` stood, there is now `j_o*2 + j_i`. With `j_o` in 0, 1, 2 and `j_i` in 0, 1, this
# runs through 0, 1, 2, 3, 4, 5: what `j` did before. So a split alone changes *no* order. It only makes a joint where
# later steps can bend. (If you would rather say how many parts there are, say `nparts=3` in place of `factor=2`.)

# %%
assert order(s, "G") == order(plain(4, 6), "G")

# %% [markdown]
# ## Split and reorder: tiles
#
# Split both loops, then bring the two inner ones inside. Now a small block is finished before the next begins: a
# **tile**. This is the most useful order of all, and lesson 6 shows why. As everybody needs it, `tile` does the three
# steps at once.

# %%
s = plain(4, 6)
names = s.tile("i", "j", 2, 3)
assert names == ("i_o", "j_o", "i_i", "j_i")
s.picture(kind="visits", buffer="G")

# %% [markdown]
# ## Puzzles
#
# Now you. In these pictures the number in a cell says when it is to be visited. First, pairs of columns:

# %%
check.picture(1)

# %% [markdown]
# ### Exercise 1
#
# Find steps that lead to this order. They take the place of `return ...` in the function: lines such as
# `s.reorder("j", "i")`. Whatever leads to it is right. `s.picture(kind="visits")` shows where you are.


# %%
def answer(s):
    return ...


check.ex1(answer)

# %% [markdown]
# Sometimes one wants the opposite of a tile: elements that are far apart, one soon after the other.

# %%
check.picture(2)

# %% [markdown]
# ### Exercise 2
#
# Find steps that lead to this order.
#
# <details><summary>Hint</summary>
#
# Two steps. Which loop moves from one part to the next? It has to be inside.
#
# </details>


# %%
def answer(s):
    return ...


check.ex2(answer)

# %% [markdown]
# Tiles of 2 x 3 again, but everything goes down before it goes right: the tiles, and the elements inside of each.

# %%
check.picture(3)

# %% [markdown]
# ### Exercise 3
#
# Find steps that lead to this order.


# %%
def answer(s):
    return ...


check.ex3(answer)

# %% [markdown]
# And a famous one: element 0 first, then 4, 2, 6, 1, 5, 3 and 7.

# %%
check.picture(4)

# %% [markdown]
# ### Exercise 4
#
# Reach this order in the fewest steps that there are.
#
# <details><summary>Hint</summary>
#
# Loops that a split has made can be split again. Which jumps are in this order? By 4, by 2, by 1: three loops.
#
# </details>


# %%
def answer(s):
    return ...


check.ex4(answer)

# %% [markdown]
# ## Fuse
#
# `fuse` is the way back: of two loops, one directly inside the other, it makes one over all pairs. The row is the
# quotient `i_j_f//6`, the column the remainder `i_j_f%6`. Again the order stays.

# %%
s = plain(4, 6)
fused = s.fuse("i", "j")
assert fused == "i_j_f" and order(s, "G") == order(plain(4, 6), "G")
s.picture()

# %% [markdown]
# What is it good for? 24 trips can be cut in ways in which 4 and 6 cannot: in 3 parts of 8 neighbours, for example,
# one for each of three workers. Such parts end in the middle of a row, and nobody minds.

# %%
s.split(fused, factor=8)
s.picture(kind="visits", buffer="G")

# %% [markdown]
# ### Exercise 5
#
# `G` has 5 rows of 6. Make it two loops, of 10 and of 3 trips, that visit the elements in the order in which they
# were, and test nothing on the way.


# %%
def answer(s):
    return ...


check.ex5(answer)

# %% [markdown]
# ## Where the factor does not divide
#
# 10 elements in parts of 4: two parts are whole, two elements are left over. What is left over is called the
# **tail**, and there are several ways to deal with it:

# %%
tails = {}
for tail in ("guard", "peel", "overlap"):
    s = plain(10)
    s.split("i", factor=4, tail=tail)
    tails[tail] = s.counts(caches=[])
    print(f'# tail="{tail}"\n{loops_text(s.program)}\n')

# %% [markdown]
# - **guard**, if you say nothing: three parts of 4 are 12 trips, and a test skips two of them. Short, but each trip
#   asks.
# - *peel*: two whole parts without any test, then a loop of its own for the rest. Fast, but there are two copies of
#   the line to keep.
# - *overlap*: the last part begins earlier, so that it is whole, too. Elements 6 and 7 are computed twice. No test,
#   no copy, but it is only right where computing twice does no harm.
#
# And there is `tail="mask"`, which tests at each store and not around the whole part. Here it looks like the guard;
# it matters for vectors, in lesson 7.

# %%
stores = {tail: counts.stores for tail, counts in tails.items()}
assert stores == {"guard": 10, "peel": 10, "overlap": 12}

s = plain(10)
s.split("i", factor=4, tail="overlap")
s.picture(kind="heat", buffer="G")

# %% [markdown]
# ### Exercise 6
#
# 11 elements, `s.split("i", factor=8, tail="overlap")`. Which elements are stored twice? Give a list of their
# numbers.

# %%
answer = ...
check.ex6(answer)

# %% [markdown]
# ## Take it back, print it, do it again
#
# A schedule remembers its steps. The list of them is the **trace**. It prints as the Python that takes these steps,
# `undo` takes the last one back, and on another program it can be replayed: on a larger one, say.

# %%
s = plain(4, 6)
s.tile("i", "j", 2, 3)
s.reorder("j_o", "i_o")
print(s.trace)

assert str(s.undo()) == 's.reorder("j_o", "i_o")'
assert len(s.trace) == 3

larger = s.trace.replay(plain(100, 300).program)
assert str(larger.trace) == str(s.trace)
print(loops_text(larger.program))

# %% [markdown]
# A trace is plain data. It fits into a file, one can send it, and whoever gets it can see what it does before it does
# it. There is no hidden way to a fast program in minicc: the fastest ones that it makes itself are traces, too.

# %%
text = s.trace.to_json()
print(json.loads(text)[0])
again = Trace.from_json(text).replay(plain(4, 6).program)
assert again.program is s.program  # equal programs are one object

# %% [markdown]
# And it still computes what it did. Whatever the order, this is the test:

# %%
for schedule in (plain(4, 6), s, again):
    x, result = np.arange(24, dtype=np.float32).reshape(4, 6), np.zeros((4, 6), np.float32)
    minicc.build(schedule)(x, result)
    assert np.array_equal(result, 2 * x)

# %% [markdown]
# ## How books write it
#
# In the literature a program has several tensors, and one says which of them is meant: `s[G]`. Axes of the formula
# can stand for the loops that they became. It is the same schedule underneath, with the same trace.

# %%
A = te.placeholder((4, 6), name="A")
G = te.compute((4, 6), lambda i, j: A[i, j] * 2.0, name="G")
by_tensor = te.create_schedule(G.op)
row, column = G.op.axis
outer, inner = by_tensor[G].split(column, factor=2)
by_tensor[G].reorder(outer, row, inner)
print(by_tensor.trace)

# %% [markdown]
# ## Words
#
# - **schedule**: a program and the steps that reshape how it is computed
# - **primitive**: a kind of step, such as split or reorder; one file
# - **tile**: a block of elements that is finished before the next begins
# - **tail**: what is left over where a factor does not divide an extent
# - **guard**: a test around a statement that skips trips which are too many
# - **trace**: a sequence of steps; it prints as Python, and can be replayed

# %% [markdown]
# ## What was not told
#
# - Not every step is allowed. `G` is kind: its elements do not know each other, so any order is right. Lesson 5 is
#   about programs that are not.
# - Which order is fast? That depends on caches (lesson 6) and on vectors (lesson 7). Today no order was better than
#   another.
# - Where sizes are variables, as in lesson 3, a split has to expect a tail; `nparts`, *peel* and
#   *overlap* need a size that is known.
# - Sizes can be turned into *choices* that a search tries for you: `s.choose`, in lesson 14.
#
# To read on: `minicc/schedule/split.py` and `minicc/schedule/reorder.py` are these primitives, each in one file, with
# what they mean, when they are legal, and an example that is a test. Halide's fifth lesson, *Vectorize, parallelize,
# unroll and tile your code*, is the model of this one.
