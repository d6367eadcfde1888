# %% [markdown]
# # One operator in three languages
#
# An operator can be written down for whole arrays, for one element, or for one moment after the other. NumPy speaks
# the first language, te the second, loops the third. All three say the same. *Then why does a compiler want more than
# one?*
#
# This lesson says one operator in all of them, and then the things that are easy in one and hard in another.

# %%
import re

import numpy as np

import minicc
from minicc import te
from minicc.course.checks import lesson_02 as check
from minicc.course.digits import drawn, side_by_side
from minicc.loop import run_python

# %% [markdown]
# ## Whole arrays: NumPy
#
# Our operator is the convolution of lesson 0, for a single image: lay a small window over it, multiply each pixel in
# the window by a weight, add up, move on by one pixel. With these weights the result is large where ink begins, seen
# from above.

# %%
digit = drawn("""
..+###..
..#++##.
.....##.
....+#+.
...+##..
..+##...
..##+++.
..+####.
""")[0, 0]
weights = np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1]], np.float32)


def in_numpy(image, w):
    windows = np.lib.stride_tricks.sliding_window_view(image, w.shape)
    return np.einsum("yxij,ij->yx", windows, w)


side_by_side({"digit": digit, "weights": weights, "result": in_numpy(digit, weights)})

# %% [markdown]
# Two lines; all the work is in the library. It is short and beyond doubt, so it is our reference. But look at what you
# *cannot* see. Which pixels does one element of the result need? In which order are they read? Does `windows` take up
# memory? It does not say, and so a compiler can do nothing with it but call it.
#
# ## One element: te
#
# In the second language you say what one element is. `te.placeholder` stands for an array that comes later: this is a
# **placeholder**. `te.compute` takes a shape, and a function from a place to the element there. The sum goes over the
# window; what it goes over is said by `te.reduce_axis`. (An **axis** is a position in a shape. An image has two, rows
# and columns. The sum has two more, which the result has not: they are used up. Combining many elements into one is a
# **reduction**.)

# %%
image, w = te.placeholder((8, 8), name="image"), te.placeholder((3, 3), name="w")
i, j = te.reduce_axis((0, 3), name="i"), te.reduce_axis((0, 3), name="j")
conv = te.compute((6, 6), lambda y, x: te.sum(image[y + i, x + j] * w[i, j], axis=[i, j]), name="conv")
print(conv.op)

# %% [markdown]
# Now the first question has an answer that a compiler can find, too, since the formula is there to be looked at:

# %%
conv.picture(at=(1, 2))

# %% [markdown]
# It is only a formula. There is no order in it, and nothing has been computed.
#
# ## One moment after the other: loops
#
# The third language has all that is missing, and no more than Python has. We need not write it: `minicc.lower` does,
# from the formula.

# %%
s = te.create_schedule(conv.op)
program = minicc.lower(s, [image, w, conv], name="conv")
print(program)

# %% [markdown]
# (`first(i, j)` asks whether this is the first trip of the two inner loops. Lesson 3 takes its time for that.)
#
# Here you see each read, each write, and what comes first. There is nothing left to guess, which is why a machine can
# do it. The last room tells it in smaller words still. These are the inner loop's lines of LLVM, the loop over `j`: two
# loads, a product, a sum, one more trip or the end. (`phi` fetches what the trip before has left: the sum, and `j`.)

# %%
built = minicc.build(s, [image, w, conv], name="conv")
inner = re.search(r"^for\.j:.*?^  br .*?$", built.stages["llvm"], re.S | re.M)
print(inner.group() if inner else built.stages["llvm"][:1000])

# %% [markdown]
# ## Three languages, one answer
#
# Are they the same? One example proves little. Sizes may be variables: `te.var`. Then a program is one for all sizes,
# and we can try many, drawn by chance. Such a claim, "for all inputs", is called a property, and trying it with
# random inputs finds what no example of your own would.

# %%
n, m = te.var("n"), te.var("m")
any_image = te.placeholder((n, m), name="image")
any_conv = te.compute((n - 2, m - 2), lambda y, x: te.sum(any_image[y + i, x + j] * w[i, j], axis=[i, j]), name="conv")
s = te.create_schedule(any_conv.op)
arguments = [any_image, w, any_conv]
of_any_size, any_program = minicc.build(s, arguments, name="conv"), minicc.lower(s, arguments, name="conv")

random = np.random.default_rng(0)
for _ in range(20):
    height, width = random.integers(3, 12, 2)
    a = random.standard_normal((height, width), np.float32)
    b = random.standard_normal((3, 3), np.float32)
    expected = in_numpy(a, b)
    as_loops, as_code = np.empty_like(expected), np.empty_like(expected)
    run_python(any_program, a, b, as_loops)
    of_any_size(a, b, as_code)
    assert np.allclose(as_loops, expected, atol=1e-5)
    assert np.allclose(as_code, expected, atol=1e-5)

# %% [markdown]
# So each language has its reader. People like the first, and judges need it. The second is for whoever wants to know
# what depends on what. The third is for machines.
#
# ## What NumPy does in silence
#
# `image + row` adds a row to each row of an image. Shapes that differ are stretched until they fit: that is
# **broadcasting**. It is handy, and many errors hide in it. In te nothing is stretched: you say which element you
# mean.

# %%
row = te.placeholder((m,), name="row")
added = te.compute((n, m), lambda y, x: any_image[y, x] + row[x], name="added")
print(added.op)

# %% [markdown]
# Had we meant a column, we would have written `column[y]`; NumPy wants `column[:, None]`, and for a square image
# tells you nothing if you forget it. Types meet in silence, too. The type of an element is its **dtype**: float32
# unless you say otherwise. Where two meet, te does what NumPy does: a whole number of 32 bits times `0.5` is a
# float64.

# %%
whole = te.placeholder((n,), name="whole", dtype="int32")
half = te.compute((n,), lambda i: whole[i] * 0.5, name="half")
print(half.dtype)
assert half.dtype == (np.int32([1]) * np.float64(0.5)).dtype

# %% [markdown]
# ## A sum stands alone
#
# The mean of each row is a sum divided by how many there are. So?

# %%
k = te.reduce_axis((0, m), name="k")
try:
    te.compute((n,), lambda y: te.sum(any_image[y, k], axis=k) / m, name="mean")
    raise AssertionError("this is refused")
except minicc.MiniccError as error:
    print(error)

# %% [markdown]
# A reduction becomes a loop that adds to its element again and again; only after its last trip can one divide. Two
# moments, so two formulas. Read the hint, it says so. Errors of minicc have four parts: the call; what was expected and
# what came; where; and a hint.
#
# Softmax, the last operator of our network, shows how far this goes. It makes shares of the numbers in a row: `exp` of
# each, divided by the sum of them all. To keep `exp` from growing beyond all floats, the greatest number is taken
# from each first. Four moments, four formulas:


# %%
def softmax(a):
    n, m = a.shape
    k, q = te.reduce_axis((0, m), name="k"), te.reduce_axis((0, m), name="q")
    most = te.compute((n,), lambda y: te.max(a[y, k], axis=k), name="most")
    e = te.compute((n, m), lambda y, x: te.exp(a[y, x] - most[y]), name="e")
    total = te.compute((n,), lambda y: te.sum(e[y, q], axis=q), name="total")
    return te.compute((n, m), lambda y, x: e[y, x] / total[y], name="softmax")


shares = softmax(any_image)
shares.picture(at=(1, 2), sizes={"n": 3, "m": 4})

# %% [markdown]
# Broadcasting is in it twice, `most[y]` and `total[y]`, and here one sees it. It runs, also where `exp` alone would
# be too large, and NumPy agrees:

# %%
run = minicc.build(te.create_schedule(shares.op), [any_image, shares], name="softmax")
a = np.array([[1, 2, 3], [1000, 0, 1000]], np.float32)
y = np.empty_like(a)
run(a, y)
e = np.exp(a - a.max(1, keepdims=True))
assert np.allclose(y, e / e.sum(1, keepdims=True), atol=1e-6)
print(y)

# %% [markdown]
# ## A reduction of your own
#
# `sum` and `max` are two of many. Two things make a reduction: a **combiner**, a function that makes one of two and is
# repeated until one is left, and what it starts from, something that changes nothing, as 0 does for a sum. Which digit
# did the network read? We want the greatest probability *and its place*, so what is combined are pairs. Of two pairs
# the one with the greater value stays, and of equals the one that came first:


# %%
def better(x, y):
    left = te.any(x[1] > y[1], te.all(x[1].equal(y[1]), x[0] < y[0]))
    return te.if_then_else(left, x[0], y[0]), te.if_then_else(left, x[1], y[1])


argmax = te.comm_reducer(better, lambda place, value: (te.max_value(place), te.min_value(value)), name="argmax")
place, value = te.compute((n,), lambda y: argmax((k.var, any_image[y, k]), axis=k), name="best")
print(place.op)

run = minicc.build(te.create_schedule([place, value]), [any_image, place, value], name="argmax")
a = random.integers(0, 5, (6, 10)).astype(np.float32)  # many are equal
places, values = np.empty(6, np.int64), np.empty(6, np.float32)
run(a, places, values)
assert np.array_equal(places, a.argmax(1)) and np.array_equal(values, a.max(1))

# %% [markdown]
# Not everybody agrees on a greatest value that is there twice. NumPy and ONNX take the first, some libraries the
# last, some whichever a thread finds. Here it stands in one line, and you can read it.
#
# ## What is no formula
#
# Sorting has no formula for one element that would be worth writing. te has a door for such things: `te.extern` calls
# a function on whole arrays, your own or one written in C, and formulas go on before and behind it. The compiler
# knows nothing of what is inside; that is the price.


# %%
def sort_rows(x, out):
    out[...] = np.sort(x, axis=1)


ordered = te.extern((n, m), [any_image], sort_rows, name="ordered")
median = te.compute((n,), lambda y: ordered[y, m // 2], name="median")
run = minicc.build(te.create_schedule(median.op), [any_image, median], name="median")
a, y = random.standard_normal((4, 7), np.float32), np.empty(4, np.float32)
run(a, y)
assert np.array_equal(y, np.median(a, axis=1))

# %% [markdown]
# ### Exercise 1
#
# How far is each number of `a` from each number of `b`? Write it in te: `distance[i, j]` is the absolute difference
# of `a[i]` and `b[j]`. The sizes of `a` and `b` are variables: `a.shape[0]`, `b.shape[0]`. The check builds what you
# give, and compares it with NumPy on arrays of random sizes.


# %%
def distances(a, b):
    return ...  # te.compute(...)


check.ex1(distances)

# %% [markdown]
# ### Exercise 2
#
# The mean of each *column* of a matrix `a` of n rows and m columns.
#
# <details><summary>Hint</summary>
# Over which axis does the sum go, and how long is it? Then a formula of its own divides: by a size, which is a number
# like all others.
# </details>


# %%
def column_means(a):
    return ...


check.ex2(column_means)

# %% [markdown]
# ### Exercise 3
#
# `check.centred` should take from each element of a square matrix the mean of its row:
#
#     mean = te.compute((n,), lambda y: total[y] / n, name="mean")
#     centred = te.compute((n, n), lambda y, x: a[y, x] - mean[x], name="centred")
#
# Its author has tried it with `np.ones((4, 4))` and with `np.eye(3)`, and found all well. Show that it is wrong:
# answer with a matrix whose result is not what it should be.
#
# <details><summary>Hint</summary>
# `mean[x]` is the mean of row x, not of row y. When is there no difference?
# </details>

# %%
answer = ...
check.ex3(answer)

# %% [markdown]
# ### Exercise 4
#
# The least and the greatest number of each row, found in one go: a combiner of pairs. Answer with the two functions
# that `te.comm_reducer` takes: one combines two pairs, the other is given two dtypes and gives the pair to start
# from.
#
# <details><summary>Hint</summary>
# What number changes nothing when you ask for the lesser of two? Not 0. See `te.max_value` and `te.min_value`.
# </details>


# %%
def combine(x, y):
    return ...


def start(least, greatest):
    return ...


check.ex4(combine, start)

# %% [markdown]
# ## Words
#
# - **placeholder**: a tensor whose elements come with each call
# - **axis**: a position in a shape
# - **reduction**: combining many elements into one, as a sum does
# - **broadcasting**: stretching an axis of length 1, or one that is missing, to the length of another array's
# - **dtype**: the type of an element, such as `float32`
# - **combiner**: the function of two that a reduction repeats

# %% [markdown]
# ## What was not told
#
# - What may a formula read? An index that leaves its tensor is refused before there is machine code; try
#   `image[y + i + 1, x + j]`. How that is proved for all sizes at once is in `minicc/tensor/bounds.py`.
# - Every operator of minicc is a class with its NumPy reference and its te side by side, in `minicc/ops`. A test
#   compares them on random inputs, as we did. Lesson 13 is about such tests.
# - Our sums go from front to back. Long sums lose digits that way, so minicc cuts them into shorter ones; what may be
#   changed about a sum, and what not, is a question of lesson 5.
# - Tensors that depend on their own earlier rows, as in a running sum, have a form of their own: lesson 3.
# - To read on: Halide's first paper ("Decoupling algorithms from schedules", 2012) is where these two languages were
#   taken apart.
