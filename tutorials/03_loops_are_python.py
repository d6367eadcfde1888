# %% [markdown]
# # Loops are Python
#
# A formula says what each element is. A processor needs more: which element first, which next, what is read for it,
# where it is kept. *What exactly will the machine do, one step after the other, and how can you check it?*
#
# In this lesson you read that order, run it, stop in the middle of it, and watch it move.

# %%
import re

import numpy as np

import minicc
from minicc import te
from minicc.course.checks import lesson_03 as check
from minicc.loop.prelude import first

# %% [markdown]
# ## A formula has no order
#
# Two vectors are added. The formula speaks of one element, `C[i]`, and holds for all of them at once. Nobody comes
# first.

# %%
A, B = te.placeholder((8,), name="A"), te.placeholder((8,), name="B")
C = te.compute((8,), lambda i: A[i] + B[i], name="C")
s = te.create_schedule(C.op)
add = minicc.lower(s, [A, B, C], name="add")
print(add)

# %% [markdown]
# `minicc.lower` has chosen an order, the plainest one: from front to back. The loop makes 8 trips, one for each
# element; the number of trips is its **extent**. What it reads and writes, `A`, `B` and `C`, are **buffers**: pieces
# of memory with a name, a shape, and a type for their elements. The comment in the first line lists them, inputs
# before the arrow, outputs behind it.
#
# ## It runs
#
# This text is no drawing of the program. It *is* the program, in Python. Run it:

# %%
names = {}
exec(str(add), names)

a, b = np.float32([1, 2, 3, 4, 5, 6, 7, 8]), np.float32([10, 20, 30, 40, 50, 60, 70, 80])
c = np.zeros(8, np.float32)
names["add"](a, b, c)
print(c)
assert np.array_equal(c, a + b)

# %% [markdown]
# The compiler makes machine code from the same program. If you ever doubt what that code does, here is your judge: it
# must give what these lines of Python give. They are slow. They are also too simple to be wrong, and that is what
# they are for.

# %%
fast = np.zeros(8, np.float32)
minicc.build(s, [A, B, C])(a, b, fast)
assert np.array_equal(fast, c)

# %% [markdown]
# ## A size that nobody knows yet
#
# Must the size be 8? It may be a variable. Then every call brings its own, and the first line of the function looks
# it up in the shape of an array. (In the text of a whole network you may meet a `?` where a type should be. It means
# the same: a size is missing, so nobody can know yet. In loops there is no `?`: whatever is not known has a name.)

# %%
n = te.var("n")
U, V = te.placeholder((n,), name="U"), te.placeholder((n,), name="V")
W = te.compute((n,), lambda i: U[i] * V[i], name="W")
open_size = minicc.lower(te.create_schedule(W.op), [U, V, W], name="multiply")
print(open_size)

# %% [markdown]
# ## A sum, and what `first(k)` is
#
# `R[i]` is the sum of row `i` of `X`. Now there are two loops, one inside the other: a **nest**. The inner loop
# starts anew in each trip of the outer one.

# %%
X, k = te.placeholder((3, 4), name="X"), te.reduce_axis((0, 4), name="k")
R = te.compute((3,), lambda i: te.sum(X[i, k], axis=k), name="R")
sums = te.create_schedule(R.op)
row_sums = minicc.lower(sums, [X, R], name="row_sums")
print(row_sums)

# %% [markdown]
# A sum has to start with 0. `first(k)` asks: is this the first trip of the loop over `k`? It is a function of one
# line, which you may call yourself. It asks for "first" and not for `k == 0` because a sum over two loops begins
# where *both* begin:

# %%
assert first(0) and not first(3)
assert first(0, 0) and not first(1, 0) and not first(0, 1)

# %% [markdown]
# Why not write `R[i] = 0.0` before the inner loop? That would be two places that belong together, and must stay
# together whenever somebody moves the loops around. In one place they cannot get lost. (The machine does not ask 12
# times. Before code is made, a later pass moves the zero to where you would have put it.)
#
# ## Stop after every assignment
#
# As the program is text, you can change it. A `yield` behind every assignment turns the function into a generator,
# and `next` runs it up to the next one. You have made a debugger out of one line:


# %%
def stepped(program):
    """The program as a generator, which stops after every assignment and shows its variables."""
    text = re.sub(r"(?m)^( +)(\w+\[.*\] = .*)$", r"\1\2\n\1yield dict(locals())", str(program))
    names = {}
    exec(text, names)
    return names[program.name]


x, r = np.arange(1, 13, dtype=np.float32).reshape(3, 4), np.full(3, np.nan, np.float32)
run = stepped(row_sums)(x, r)
for now in (next(run) for _ in range(7)):
    print(f"i = {now['i']}, k = {now['k']}: R is {now['R']}")

# %% [markdown]
# The first two lines are both `i = 0, k = 0`: one is the zero, one is the first addition. The `nan` are elements that
# nobody has written yet. Let it run to its end:

# %%
rest = sum(1 for _ in run)
assert 7 + rest == 15
assert np.array_equal(r, x.sum(axis=1))

# %% [markdown]
# ## In which order
#
# Here is the same run as a picture. A square lights up when an element is written, a dot when it is read; below, the
# line that is at work. What remains is a number: which element was visited first, second, third. Hold the pointer
# over the cells to stop it.

# %%
sums.picture(kind="visits")

# %% [markdown]
# ### Exercise 1
#
# `T` is `Y` turned around: `T[i, j] = Y[j, i]`. Read the program. In which order are the elements of **Y** read? Give
# a list of pairs, such as `[(0, 0), (0, 1), ...]`. Then let `turned.picture(kind="visits")` say whether you were
# right.
#
# <details><summary>Hint</summary>
#
# Play the loops on paper. In the first trip `i = 0, j = 0`. In the second, the *inner* loop has moved on.
#
# </details>

# %%
Y = te.placeholder((3, 2), name="Y")
T = te.compute((2, 3), lambda i, j: Y[j, i], name="T")
turned = te.create_schedule(T.op)
print(turned.program)

answer = ...
check.ex1(answer, turned)

# %% [markdown]
# ## How often
#
# Order is one question, number is another. A sum over a window of three neighbours reads most elements three times. A
# **heat map** shows how often each element is read and written: the more, the darker.

# %%
Z, w = te.placeholder((10,), name="Z"), te.reduce_axis((0, 3), name="w")
near = te.compute((8,), lambda i: te.sum(Z[i + w], axis=w), name="near")
window = te.create_schedule(near.op)
window.picture(kind="heat")

# %% [markdown]
# And as numbers. A *load* is an element that is read, a *store* one that is written, a *flop* an operation on floats.
# They are counted from the program, so they are the same on every machine, today and in ten years. Times are not.

# %%
counts = window.counts(caches=[])
print(counts)
assert (counts.loads, counts.stores, counts.flops) == (48, 32, 24)

# %% [markdown]
# Check one number by hand. Each of the 8 windows adds 3 times: 24 additions, and 24 loads of `Z`. An addition also
# reads the sum so far: 24 loads of `near`. Together 48.

# %% [markdown]
# ### Exercise 2
#
# A window of 3 in steps of 2: `far[i]` is the sum of `Z[2*i]`, `Z[2*i + 1]` and `Z[2*i + 2]`, for `i` from 0 to 3.
# How often is each element of `Z` read? Give a list of 10 numbers.

# %%
far = te.compute((4,), lambda i: te.sum(Z[2 * i + w], axis=w), name="far")
strided = te.create_schedule(far.op)

answer = ...
check.ex2(answer, strided)

# %% [markdown]
# ### Exercise 3
#
# How many *stores* does this program do? `M[i]` is the sum of a whole page of `P`.
#
# <details><summary>Hint</summary>
#
# Which lines write to `M`, and in how many trips does each of them run?
#
# </details>

# %%
P = te.placeholder((2, 3, 4), name="P")
p, q = te.reduce_axis((0, 3), name="p"), te.reduce_axis((0, 4), name="q")
M = te.compute((2,), lambda i: te.sum(P[i, p, q], axis=[p, q]), name="M")
pages = te.create_schedule(M.op)
print(pages.program)

answer = ...
check.ex3(answer, pages)

# %% [markdown]
# ### Exercise 4
#
# Now you are the compiler. Write the loops of `D`, the sum of each *column* of `X`, as `minicc.lower` would: one
# element of `D` after another, each from its 0 to its last addition. Your function gets the arrays, and fills `D`. It
# is compared with the program: first the numbers, then the order.


# %%
h = te.reduce_axis((0, 3), name="h")
D = te.compute((4,), lambda j: te.sum(X[h, j], axis=h), name="D")
columns = te.create_schedule(D.op)


def answer(X, D):
    return ...


check.ex4(answer, columns)

# %% [markdown]
# ## A loop that must wait
#
# So far you could have started anywhere. Some things cannot: your balance today needs your balance of yesterday. A
# tensor whose rows are computed from its earlier rows is a **scan**. `te.scan` takes the first row, the formula of a
# later row `t` from row `t - 1`, and a placeholder that stands for what is known so far.

# %%
days, accounts = 4, 3
paid = te.placeholder((days, accounts), name="paid")
before = te.placeholder((days, accounts), name="before")
opening = te.compute((1, accounts), lambda _, i: paid[0, i], name="opening")
later = te.compute((days, accounts), lambda t, i: before[t - 1, i] + paid[t, i], name="later")
balance = te.scan(opening, later, before, name="balance")
saving = te.create_schedule(balance.op)
print(saving.program)

# %% [markdown]
# Row `t + 1` reads row `t`, so the loop over `t` has to run in order. The loop over `i` has not: accounts do not know
# each other. In the picture, watch how every dot in `balance` lands on a square that was there before.

# %%
saving.picture(kind="visits", buffer="balance")

# %%
p_in, out = np.arange(12, dtype=np.float32).reshape(4, 3), np.zeros((4, 3), np.float32)
minicc.build(saving, [paid, balance])(p_in, out)
assert np.array_equal(out, np.cumsum(p_in, axis=0))

# %% [markdown]
# ### Exercise 5
#
# Make a scan that keeps the *largest* payment so far of each account. Give the formula of row `t`: a function of
# `before`, `paid`, `t` and `i`. (`te.maximum(x, y)` is the larger of two.)


# %%
def answer(before, paid, t, i):
    return ...


check.ex5(answer)

# %% [markdown]
# ## Words
#
# - **extent**: how many trips a loop makes
# - **buffer**: memory that a program reads or writes
# - **nest**: loops inside each other, and the statement they are around
# - **heat map**: a picture of how often each element is read and written
# - **scan**: a tensor whose rows are computed from its earlier rows

# %% [markdown]
# ## What was not told
#
# - The integers of Python never overflow, those of a machine do. Programs have the machine's, with its overflow, when
#   they run as Python, too. Constants therefore say which numbers they are, as in `float32(0.0)`.
# - Some loops are written `parallel(8)` or `vectorize(8)` in place of `range(8)`. As Python these *are* `range`. What
#   they ask of the machine comes in lessons 5 and 7.
# - An index that data decide, as in `T[I[i]]`, is kept inside its buffer. An index that the loops decide must be
#   inside, or the program is refused.
# - You have seen one order for each formula, the plainest. The next lesson changes it.
#
# To read on: `minicc/loop/ir.py` has the grammar of these programs, in less than 300 lines, and
# `minicc/loop/printer.py` writes them as Python.
