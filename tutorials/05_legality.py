# %% [markdown]
# # What is allowed
#
# In the last lesson every order was right. Now come programs that are not so patient. *When may a step be taken, and
# who makes sure that the answer stays the same?*
#
# You will break a program by hand, see why the compiler would not have, and then try to break the compiler.

# %%
import random
from collections import Counter

import numpy as np

from minicc import te
from minicc.course.checks import lesson_05 as check
from minicc.course.orders import dependences
from minicc.errors import ScheduleError
from minicc.explain.draw_bars import Bar, bars
from minicc.loop.python import run_python
from minicc.schedule import Schedule
from minicc.schedule.step import loops_text

# %% [markdown]
# ## A program that is not patient
#
# A scan, as in lesson 3, but a crooked one: row `t` adds to its own number what stood one to the *right* in the row
# before.

# %%
rows, columns = 4, 6


def scan(formula):
    """A schedule of S, whose row t is computed by a formula from `before` and X, and its tensors."""
    X, before = te.placeholder((rows, columns), name="X"), te.placeholder((rows, columns), name="before")
    top = te.compute((1, columns), lambda _, i: X[0, i], name="top")
    later = te.compute((rows, columns), lambda t, j: formula(before, X, t, j), name="later")
    return te.create_schedule(te.scan(top, later, before, name="S").op).schedule


def from_the_right(before, X, t, j):
    return X[t, j] + te.if_then_else(j < columns - 1, before[t - 1, j + 1], 0.0)


crooked = scan(from_the_right)
print(loops_text(crooked.program))

# %% [markdown]
# Would it not be nice to have `j` outside? Ask for it:

# %%
try:
    crooked.reorder("j", "t")
except ScheduleError as error:
    refused = error
    print(refused)

# %% [markdown]
# It is refused, and nothing has changed. Read the error, as it is your teacher: first what you asked for, then what
# is wrong with it, then *where*, with the culprit marked, and at the end a way out. Every error of minicc has these
# four parts.

# %%
assert refused.call == 'reorder("j", "t")' and "order of t, j matters" in refused.problem
assert "^ here" in refused.where and refused.hint

# %% [markdown]
# ## Do it anyway
#
# The compiler will not do it. But a program is Python, so you can: exchange two lines of its text, and run both.


# %%
def run(text, x):
    """What a program computes, given as text; elements that nobody has written are NaN."""
    names, result = {}, np.full_like(x, np.nan)
    exec(text, names)
    names["main"](x, result)
    return result


def swapped(text):
    """The text with the loops over t and j exchanged."""
    t, j = "    for t in range(3):\n", "        for j in range(6):\n"
    assert t + j in text
    return text.replace(t + j, j[4:] + "    " + t)


x = np.arange(1, 25, dtype=np.float32).reshape(rows, columns)
right, wrong = run(str(crooked.program), x), run(swapped(str(crooked.program)), x)
print(np.hstack([right, wrong]))
assert np.isnan(wrong).any() and not np.isnan(right).any()

# %% [markdown]
# On the left what it should be, on the right what you did. Wherever it says `nan`, a number was read before it had
# been written. On a real machine there would be no `nan`, but whatever happened to lie in memory. That is the kind of
# mistake that is found on a Friday evening.
#
# ## Dependence
#
# Two trips of a nest are tied together if both touch the same element and at least one of them writes it. This is a
# **dependence**: the later one needs the earlier one, and must stay later. All else may be exchanged at will.
#
# Find them all: which trip writes what a later one reads, and how far apart are the two? That is the **distance** of
# a dependence, one number for each loop.


# %%
def distances(writes, reads):
    """By how many trips of t and of j the reader of an element comes after its writer."""
    trips = [(t, j) for t in range(rows - 1) for j in range(columns)]
    return {(b[0] - a[0], b[1] - a[1]) for a in trips for b in trips if writes(*a) == reads(*b)}


assert distances(writes=lambda t, j: (t + 1, j), reads=lambda t, j: (t, j + 1)) == {(1, -1)}

# %% [markdown]
# One trip of `t` later, one trip of `j` *earlier*. Here is a picture of it. Each dot is a trip, and its number says
# when it runs. An arrow goes from a writer to its reader.

# %%
dependences((rows - 1, columns), (1, -1))

# %% [markdown]
# With `t` outside the trips run along the rows, and every arrow points to something that comes later. With `j`
# outside they run along the columns, and every arrow points *back*: to a trip that is over. So this is the rule:
# *write each distance in the new order of the loops; its first number that is not 0 must be positive.* With `j`
# outside, (1, -1) becomes (-1, 1), and begins with -1.
#
# A scan that reads straight from above has the distance (1, 0). Turned around it is (0, 1). Its first number that is
# not 0 is 1, so it is fine:

# %%
straight = scan(lambda before, X, t, j: X[t, j] + before[t - 1, j])
assert distances(lambda t, j: (t + 1, j), lambda t, j: (t, j)) == {(1, 0)}
naive = str(straight.program)
straight.reorder("j", "t")
assert np.array_equal(run(swapped(naive), x), run(naive, x))

# %% [markdown]
# ## Too careful
#
# And a scan that reads from the *left*? Its distance is (1, 1), turned around it is (1, 1) again. It would be right:

# %%
left = scan(lambda before, X, t, j: X[t, j] + te.if_then_else(j > 0, before[t - 1, j - 1], 0.0))
assert distances(lambda t, j: (t + 1, j), lambda t, j: (t, j - 1)) == {(1, 1)}
assert np.array_equal(run(swapped(str(left.program)), x), run(str(left.program), x))

try:
    left.reorder("j", "t")
except ScheduleError as error:
    print(error.problem)
else:
    raise AssertionError

dependences((rows - 1, columns), (1, 1))

# %% [markdown]
# No arrow points back, and minicc refuses it all the same. It asks only along which loops the two trips differ, not
# in which direction. A compiler that does so is **conservative**: it may refuse what would have been right, but never
# does it allow what is wrong. There will always be such cases, as no program can decide for every program what it
# does. Only the direction of the mistake can be chosen.
#
# ## At the same time
#
# A processor has several cores, which work at the same time. `parallel` shares the trips of a loop among
# them, and they do them at the same time. So no trip may
# need another one of the *same* loop. In the crooked scan, `t` cannot be parallel. But the trips of `j` within one
# row `t` do not know each other:

# %%
try:
    crooked.parallel("t")
except ScheduleError as error:
    print(error.hint)
crooked.parallel("j")
print(loops_text(crooked.program))

# %% [markdown]
# ### Exercise 1
#
# Three nests after each other. Which of the loops may be parallel? Answer with a set of names, such as `{"i", "t"}`.

# %%
X, before = te.placeholder((4, 3), name="X"), te.placeholder((4, 3), name="before")
top = te.compute((1, 3), lambda _, i: X[0, i], name="top")
later = te.compute((4, 3), lambda t, j: X[t, j] + before[t - 1, j], name="later")
S, h = te.scan(top, later, before, name="S"), te.reduce_axis((0, 4), name="h")
D = te.compute((3,), lambda k: te.sum(S[h, k], axis=h), name="D")
three = te.create_schedule(D.op).schedule
print(loops_text(three.program))

answer = ...
check.ex1(answer, three)

# %% [markdown]
# ## Sums are special
#
# Each trip of the loop over `h` reads and writes `D[k]`. That is a dependence, so the loop could not even be moved.
# But a sum does not care in which order its terms come. minicc knows that, which is why a sum is one statement with
# its `first(h)`, and lets `reorder` move such loops anywhere.

# %%
three.reorder("h", "k")
three.picture()

# %% [markdown]
# To be honest: numbers in a computer are rounded, and in another order they round differently. This is the one change
# that a step may make, and only to sums.
#
# ## Where the zero stands
#
# A sum also has a beginning. `decompose_reduction` takes the zero out of the loops and puts it in front of one that
# you name. Which loops may that be? The loop over `h` is now around the one over `k`. A zero in front of `k`, and so
# inside of `h`, would be written in every trip of `h`, and wipe out what has been added:

# %%
try:
    three.decompose_reduction("D", "k")
except ScheduleError as error:
    print(f"{error.problem}\nhint: {error.hint}")
three.decompose_reduction("D", "h")
print(loops_text(three.program).partition("S[t, j]\n")[2])
assert [str(three.undo()).partition("(")[0] for _ in range(2)] == ["s.decompose_reduction", "s.reorder"]

# %% [markdown]
# ## Two who add at the same time
#
# Moving is allowed, sharing is not. If two cores add to `D[k]` at the same time, both read the old sum, both add,
# both write, and one of the two additions is lost. This is a **race**. The error has a proposal:

# %%
try:
    three.parallel("h")
except ScheduleError as error:
    print(f"{error.call}: {error.problem}\nhint: {error.hint}")

# %% [markdown]
# ## Partial sums
#
# If several people count a heap of coins, each counts a part of it, and the few results are added in the end.
# `rfactor` (*reduction factoring*) does this to a sum: for every trip of a loop it makes a sum of its own. The loop
# becomes an ordinary one, and a short loop combines what came out.

# %%
Y, k = te.placeholder((64,), name="Y"), te.reduce_axis((0, 64), name="k")
total = te.compute((1,), lambda i: te.sum(Y[k], axis=k), name="total")
s = te.create_schedule(total.op).schedule
s.split("k", factor=16)
s.rfactor("total", "k_i")
s.picture()

# %% [markdown]
# ### Exercise 2
#
# The sum of 64 numbers again, this time for **4 cores**: each shall add up 16 neighbours, at the same time as the
# others. Give the steps.
#
# <details><summary>Hint</summary>
#
# Which loop shall be parallel: the one inside a part, or the one that goes from part to part? That one needs sums of
# its own.
#
# </details>


# %%
def answer(s):
    return ...


check.ex2(answer, total)

# %% [markdown]
# ### Exercise 3
#
# Now you be the one who is refused. Find three steps on the program of exercise 1 that are not legal, each for
# another reason:
#
# - `dependence`: trips depend on each other, other than in a sum
# - `sum`: it would share out, or tear apart, the loop of a sum (the error says that something *is reduced over* it)
# - `nest`: the loops do not stand directly inside each other
#
# Replace the dots by functions, such as `lambda s: s.reorder("k", "h")`.

# %%
answer = {"dependence": ..., "sum": ..., "nest": ...}
check.ex3(answer, three)

# %% [markdown]
# ### Exercise 4
#
# Write a scan for which exchanging `t` and `j` is not only refused but *wrong*. It must not be one of those that you
# have seen: it has to read exactly **two** elements of the row before. (`te.if_then_else(condition, value, 0.0)`
# reads the value only where the condition holds; `dependences` draws a distance that you think of.)


# %%
def answer(before, X, t, j):
    return ...


check.ex4(answer)

# %% [markdown]
# ## What can I do now?
#
# Each primitive knows when it is legal, and can list all its legal steps. `s.moves()` asks every one of them.
# Exchanging the loops of the crooked scan is not among them.

# %%
moves = scan(from_the_right).moves()
assert 's.reorder("j", "t")' not in map(str, moves) and 's.parallel("j")' in map(str, moves)
kinds = Counter(move.name for move in moves)
bars(f"{len(moves)} legal steps of the crooked scan", [Bar(name, n, str(n)) for name, n in kinds.most_common()])

# %% [markdown]
# ## Try to break it
#
# The promise of this lesson is large: *whatever* legal steps one takes, the program computes the same. So take them
# blindly. A random walk takes some legal steps, any of them, and then runs the program that has come out of it. If a
# single one of them differs, minicc has lost.


# %%
def walk(start, seed, most=6):
    """A schedule after random legal steps: first a kind of step, then one of that kind."""
    draw, s = random.Random(seed), Schedule(start)
    for _ in range(draw.randint(1, most)):
        moves = s.moves()
        kind = draw.choice(sorted({move.name for move in moves}))
        s.apply(draw.choice([move for move in moves if move.name == kind]))
    return s


data, taken = np.random.default_rng(0).random((4, 3), np.float32), Counter()
expected, result = np.cumsum(data, axis=0, dtype=np.float64).sum(axis=0), np.empty(3, np.float32)
for seed in range(30):
    walked = walk(three.program, seed)
    run_python(walked.program, data, result)
    assert np.allclose(result, expected, rtol=1e-6), walked.trace
    taken.update(step.name for step in walked.trace)
print(f"30 walks, {taken.total()} steps of {len(taken)} kinds, one answer; the last walk:\n{walked.trace}")

# %% [markdown]
# It did not break, which proves nothing, but is a good sign. `python -m minicc.testing.schedules --count 20000` does
# the same with many programs and all primitives, and shrinks what it finds to the fewest steps. Change the seeds. If
# you find a walk that breaks it, you have found a bug: please report it.
#
# There is a second judge behind this one. Before machine code is made, the *verifier* looks at the program that came
# out, whoever made it, and refuses what reads outside of a buffer, reads what nobody wrote, or races.

# %% [markdown]
# ## Words
#
# - **dependence**: two trips touch one element, and at least one of them writes it
# - **distance**: by how many trips of each loop the two ends of a dependence lie apart
# - **conservative**: of a check: it may refuse what is right, and never allows what is wrong
# - **race**: two trips that run at the same time touch one element, and one of them writes it

# %% [markdown]
# ## What was not told
#
# - How minicc *proves* that two indices never meet, without trying all trips: it looks at the equation between them,
#   in `minicc/loop/dependence.py`. For short loops it does try all points (`minicc/loop/points.py`). Exact methods
#   exist: Pugh's *Omega Test* (1991), and polyhedral compilers.
# - Skewing. The crooked scan *can* be computed in diagonals; minicc has no primitive that makes them.
# - Where a sum of floats is reordered, it rounds differently; lesson 13 says how much is allowed, and who checks it.
# - A parallel loop costs something to begin, and 4 sums on 4 cores may be slower than 1. Nothing in this lesson was
#   about speed.
