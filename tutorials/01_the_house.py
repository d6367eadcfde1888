# %% [markdown]
# # The house in ten minutes
#
# Draw a digit with the keyboard, and the computer reads it. The network that does so is a file with some operators and
# many numbers. Nobody wrote instructions for a processor. *Where do they come from?*
#
# In the next ten minutes you draw your digit, and then walk once through all of minicc. Nothing has to be understood in
# full: every corner of this walk has a lesson of its own.

# %%
import re
import time
from importlib import resources

import numpy as np

import minicc
from minicc import te
from minicc.compile import pipeline
from minicc.course.checks import lesson_01 as check
from minicc.course.digits import answered, drawn
from minicc.graph import Kernel, evaluate, parse
from minicc.ir.passes import run_passes
from minicc.loop import run_python

# %% [markdown]
# ## Draw a digit
#
# Eight lines of eight signs: a point is paper, a plus is a thin stroke, a hash is ink. Change the drawing and run the
# cell again.

# %%
drawing = """
..+###..
..#++##.
.....##.
....+#+.
...+##..
..+##...
..##+++.
..+####.
"""

model = (resources.files("minicc.cli") / "digits" / "digits.onnx").read_bytes()
digits = minicc.compile(model, dims={"batch": 1})
(probability,) = digits(drawn(drawing))
answered(drawn(drawing), probability[0])

# %% [markdown]
# `minicc.compile` took the file, and gave back something that you call like a function: an **executable**. An image
# goes in, ten probabilities come out. It was trained on digits that people wrote on paper, so do not be cross if it
# misreads yours now and then.
#
# ## A house with four rooms
#
# What lies between the file and the executable? Think of a house. The network walks through it, and in each **room**
# it is told in another language. These languages are minicc's inner forms of your work; others call such a form an
# intermediate representation, or IR. Between two rooms there is a **corridor**: one file of code that translates.
#
# | room | what is said there |
# | --- | --- |
# | **graph** | *what* to compute: which operator reads whose result |
# | **te** | the mathematics of one kernel: a formula for each element |
# | **loop** | *how* it is computed: what first, what next, where it is kept |
# | **LLVM** | how a processor would say that |
#
# One rule holds everywhere: whatever is in a room can be printed, and it can be *run*. So after each door you can ask
# whether the answer is still the same.
#
# A whole network is a large party. We send a single layer ahead, with small numbers: `relu(x @ w + b)`.
#
# ## Room 1: the graph

# %%
layer = parse("""
graph layer(x: float32[4,6], w: float32[6,8], b: float32[8]) {
  %0 = MatMul(x, w) : float32[4,8]
  %1 = Add(%0, b) : float32[4,8]
  %2 = Relu(%1) : float32[4,8]
  return y=%2
}""")
layer.picture()

# %% [markdown]
# The text is how a graph prints, and it reads back to the same graph. Each line is a node; the words at the arrows in
# the picture say what flows there, such as `float32[4,8]`: 4 rows of 8 numbers of 32 bits. (Colours tell kinds of
# operators, or of loops; do not mind the words beside them now, they have lessons of their own.)
#
# To run a graph, ask each operator for its reference in NumPy. `evaluate` does so, one node after the other. It is
# slow, and it is what all others are compared with.

# %%
random = np.random.default_rng(0)
x, w, b = (random.standard_normal(shape, np.float32) for shape in ((4, 6), (6, 8), (8,)))
expected = evaluate(layer, {"x": x, "w": w, "b": b})["y"]
assert np.allclose(expected, np.maximum(x @ w + b, 0), atol=1e-5)

# %% [markdown]
# A graph can be made better and stay a graph. What does that is a **pass**: a function from graph to graph. There is
# a list of them, and each entry says why it stands where it stands:

# %%
passes = pipeline(without=["pack weights"]).graph  # that one stores w in an order that some processors prefer
for each in passes[3:6]:
    print(f"{each.name}: {each.why}")
print(f"... and {len(passes) - 3} others")

fused = run_passes(passes, layer)
fused.picture()

# %% [markdown]
# Little could be improved here. But the pass called "fuse" put a box around all three nodes. They became one kernel:
# what lies between them will never be written to memory. And the answer?

# %%
assert np.array_equal(evaluate(fused, {"x": x, "w": w, "b": b})["y"], expected)

# %% [markdown]
# ## Room 2: te
#
# From here on there is one kernel at a time. In the second room, called **te** for *tensor expressions*, each node
# says what an *element* of its result is. No order, no memory, only mathematics. A kernel calls its inputs p0, p1,
# p2; here these are our x, w and b.

# %%
(kernel,) = [node.op for node in fused.nodes if isinstance(node.op, Kernel)]
inputs = [
    te.placeholder(n.shape, n.dtype, name) for n, name in zip(kernel.body.inputs, ("p0", "p1", "p2"), strict=True)
]
output = kernel.compute(*inputs)
output.picture(at=(1, 2))

# %% [markdown]
# Read the picture from below. For the marked element in row 1, column 2 of the result, `relu` asks for one of `add`,
# that one for one of `matmul` and one of the bias, and `matmul` for a row of p0 and a column of p1. This is all that
# has to be known for what comes now.
#
# ## Room 3: loops
#
# A formula for each element, so a loop over the elements: that is the corridor from te. What comes out of it is a
# **program**. It is naive, obviously right, and it prints as Python.

# %%
s = te.create_schedule(output.op)
program = minicc.lower(s, [*inputs, output], name="layer")
program.picture()

# %% [markdown]
# Each formula became loops, and what is between two formulas became a piece of memory, in yellow. A sum is added up
# in place: on the first trip over `k` it begins with zero. And this is Python that runs. We hand it our arrays, the
# last one for the result:

# %%
y = np.empty((4, 8), np.float32)
start = time.perf_counter()
run_python(program, x, w, b, y)
python_seconds = time.perf_counter() - start
assert np.allclose(y, expected, atol=1e-5)

# %% [markdown]
# Now look at `add` in the picture: 32 numbers are written to memory, only to be read again in the next loop. Would it
# not be better to add where the sum is needed? Programs are changed in small steps, and each step is checked: it
# keeps the answer, or it is refused. This one is called `compute_inline`:

# %%
s["add"].compute_inline()
s.picture()

# %% [markdown]
# Lines with a minus went, lines with a plus came. That is the craft that most lessons are about: the same answer, by
# better loops. And is it the same?

# %%
y = np.empty((4, 8), np.float32)
run_python(minicc.lower(s, [*inputs, output]), x, w, b, y)
assert np.allclose(y, expected, atol=1e-5)

# %% [markdown]
# ## Room 4: LLVM
#
# The last corridor translates loops into the language of LLVM, and LLVM makes instructions of it. `minicc.compile`
# does all of this walk by itself, and chooses the steps in room 3 for us. It keeps the text of every room in
# `stages`. These are some lines of our kernel from the last room, and below some instructions of this very processor:

# %%
executable = minicc.compile(layer, threads=1)
stages = executable.kernels[-1].stages


def lines(text, words):
    """The first four lines that have certain words."""
    return [line.strip() for line in text.expandtabs(8).splitlines() if re.search(words, line)][:4]


print(*lines(stages["llvm"], " = fmul | = fadd "), "", *lines(stages["asm"], r"^ +\w*(fmadd|fmla|mulps)"), sep="\n")

# %% [markdown]
# A line of LLVM works on several numbers at once, wherever your processor can. (Who decided that? Exercise 2 asks.)
# The answer is still the same:

# %%
(y,) = executable(x, w, b)
assert np.allclose(y, expected, atol=1e-5)


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


fast = min(seconds(lambda: executable(x, w, b)) for _ in range(100))
print(f"as Python {python_seconds * 1e6:,.0f} microseconds, as machine code {fast * 1e6:,.1f}")

# %% [markdown]
# ## The whole party
#
# Now all of the network. The executable that read your digit has come the same way, kernel by kernel; then the memory
# between its kernels was planned, and all were linked into one function. Its picture lists what is called, in order.
# (A convolution called `winograd` is one that saves multiplications; which one is chosen where, you will see in
# lessons to come.)

# %%
digits.picture()

# %% [markdown]
# And is it right? We ask twice. Does it say what the references say? And do the references read digits that the
# training never saw?

# %%
folder = resources.files("minicc.cli") / "digits"
with resources.as_file(folder / "heldout.npz") as path:
    held_out = np.load(path)
    images, labels = (held_out["images"] / np.float32(16)).astype(np.float32), held_out["labels"]
reference = evaluate(minicc.load(model), {"image": images})["probability"]
answers = np.concatenate([digits(image[None])[0] for image in images])
assert np.allclose(answers, reference, atol=1e-5)
right = np.mean(answers.argmax(1) == labels)
assert right > 0.99
print(f"{right:.1%} of {len(images)} digits are read correctly")

# %% [markdown]
# That was the house. If you want to see all rooms of a network side by side, with every node lit up wherever it went,
# run `minicc explore model.onnx`, and open the page that it writes.

# %% [markdown]
# ### Exercise 1
#
# Draw a 7 that the network reads as a 7. It need not be sure, only surer than of any other digit.
#
# <details><summary>Hint</summary>
# The people whose digits it learned wrote large: from the first line to the last. Thin strokes at the edges help. So
# does a short bar across the stem.
# </details>

# %%
answer = ...
check.ex1(answer)

# %% [markdown]
# ### Exercise 2
#
# In which room is it decided? Answer with five words out of `"graph"`, `"te"`, `"loop"`, `"LLVM"`.
#
# 1. Relu reads what Add gives.
# 2. An element of `matmul` is a sum of six products.
# 3. Row 0 of the result is computed before row 1.
# 4. Eight elements are computed at the same time.
# 5. The sum is made by one certain instruction of this processor.
#
# <details><summary>Hint</summary>
# Code generation, the corridor into the last room, decides nothing. Look at `print(stages["loop"])` for the fourth.
# </details>

# %%
answer = ...  # ["graph", ...]
check.ex2(answer)

# %% [markdown]
# ### Exercise 3
#
# "The same answer" was `np.allclose` so far. Is that enough? Write `same(got, expected)` for the tests of a compiler.
# It is true if both have the same shape, and all elements agree up to one part in ten thousand (or up to 0.000001
# where they are near zero). NaN, what 0/0 gives, is an answer, too: where one has it, the other must have it.


# %%
def same(got, expected):
    return ...


check.ex3(same)

# %% [markdown]
# ### Exercise 4
#
# Two layers, one after the other: MatMul, Relu, MatMul, Softmax. How many kernels do they become? Decide first, then
# try: `minicc.compile(check.TWO_LAYERS)`.
#
# <details><summary>Hint</summary>
# In lesson 0 a node stayed out of its reader when the reader needs its elements more than once.
# </details>

# %%
answer = ...
check.ex4(answer)

# %% [markdown]
# ## Words
#
# - **executable**: a compiled model: it is called with arrays
# - **room**: an intermediate representation: it prints, verifies and runs itself
# - **corridor**: one file that goes from a room to the next
# - **pass**: a function from an IR to the same IR
# - **te**: room 2: tensor expressions, a formula for each element
# - **program**: room 3: the loop IR of one kernel

# %% [markdown]
# ## What was not told
#
# - Rooms have a fourth ability beside printing and running: they verify themselves. After each pass the tests ask the
#   graph whether it is still a graph. Lesson 13 tries to break it.
# - Who chose the steps when we called `minicc.compile`? A *recipe* for kernels of that kind. Its steps are the ones
#   that you may take by hand: `print(stages["trace"])`. Lessons 4 to 9 are about them.
# - The first room has more passes than we saw at work. Three normalizations vanished from the network of digits:
#   lesson 10.
# - What is linked, how memory is shared, and what `digits.memory_plan.picture()` shows: lesson 12.
# - To read on: the table of contents of the whole house is a file of Python, `minicc/compile.py`.
