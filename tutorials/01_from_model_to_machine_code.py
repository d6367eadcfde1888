# %% [markdown]
# # From a model to machine code
#
# A neural network is a file with a list of operators. A processor runs instructions. This lesson
# walks from one to the other with a small network that was really trained, and stops in every
# room on the way to look around. At each stop we run what we have, and compare the answer: the
# one promise of a compiler is that the answer stays the same.
#
# Run this file as a script, or open it as a notebook (the cells start with `# %%`). Every claim is
# checked by an `assert`. Times depend on your machine, so they are printed, never checked.

# %%
import re
import time
from functools import partial
from importlib import resources

import numpy as np

import minicc
from minicc.compile import pipeline
from minicc.graph import Kernel, bind, evaluate
from minicc.graph.choose_layouts import choose_layouts, packed
from minicc.ir.passes import run_passes
from minicc.loop import lower, run_python
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.te import placeholder

np.set_printoptions(precision=3, suppress=True)


def best_microseconds(call, runs=100):
    """The shortest of many runs: what the machine can do when nothing disturbs it."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken) * 1e6


# %% [markdown]
# ## 1. The model
#
# Three convolutions and a linear layer tell handwritten digits apart: images of 8 x 8 pixels go in,
# ten probabilities come out. Beside the model lie images that its training never saw.

# %%
folder = resources.files("minicc.cli") / "digits"
with resources.as_file(folder) as path:
    graph = minicc.load(path / "digits.onnx")
    held_out = np.load(path / "heldout.npz")
images = (held_out["images"] / np.float32(16)).astype(np.float32)
labels = held_out["labels"]

picture = images[6, 0]
print("\n".join("".join(" .:-=+*#%@"[int(value * 9)] * 2 for value in row) for row in picture))
print("label:", labels[6])

# %% [markdown]
# `load` gave a *graph*: the first room. It says what to compute, and nothing else. Each line of its
# text is a node: an operator with its attributes, its inputs, its type, and after `#` where in the
# file it comes from. The constants are the trained weights; we leave their lines out.

# %%
print("\n".join(line for line in str(graph).splitlines() if " = Constant[" not in line))

# %% [markdown]
# The type `float32[batch,1,8,8]` has a dimension without a number. `bind` gives it one. Then the
# graph can be evaluated: each operator carries its own NumPy reference, and `evaluate` calls one
# after the other. This is slow and simple, and it is the answer to compare all others with.

# %%
graph = bind(graph, {"batch": len(images)})
reference = evaluate(graph, {"image": images})["probability"]
print("probabilities of this image:", reference[6])
print(f"right: {np.mean(reference.argmax(1) == labels):.1%} of {len(images)} images")
assert np.mean(reference.argmax(1) == labels) > 0.99

# %% [markdown]
# ## 2. Passes: a graph to a better graph
#
# A *pass* is a function from graph to graph. `pipeline` gives the list of all of them, each with
# the reason why it stands where it stands. After every pass there is still a graph, so after every
# pass we can evaluate, and compare.

# %%
target = Target.native()
print("target:", target)
for each in pipeline(target).graph:
    graph = each.run(graph)
    same = evaluate(graph, {"image": images})["probability"]
    assert np.allclose(same, reference, atol=1e-5)
    print(f"{each.name:30} {len(graph.nodes):3} nodes")

# %% [markdown]
# The last pass, `fuse`, put operators that should run together into *kernels*: a convolution, the
# addition of its bias and the Relu become one. (Where did the three BatchNormalizations go? Each is
# a multiplication and an addition; the one went into the weights, the other into the bias.)

# %%
kernels = [node.op for node in graph.nodes if isinstance(node.op, Kernel)]
print("kernels:", ", ".join(kernel.label for kernel in kernels))
assert len(kernels) < 10
assert "BatchNormalization" not in {node.op.name for node in graph.nodes}

# %% [markdown]
# ## 3. One kernel as mathematics
#
# From here on we look at one kernel at a time. We compile for one image, and take the second
# convolution: 16 channels in, 32 channels out. The pass "choose layouts" would have Winograd's algorithm
# compute it, with fewer multiplications. We want the sum that everybody knows, so we give it one choice only.

# %%
graph = bind(minicc.load(resources.files("minicc.cli").joinpath("digits/digits.onnx").read_bytes()), {"batch": 1})
direct = pipeline(target, replace={"choose layouts": partial(choose_layouts, target=target, families=(packed,))})
graph = run_passes(direct.graph, graph)
kernel = [node.op for node in graph.nodes if isinstance(node.op, Kernel)][1]
print(kernel.body)

# %% [markdown]
# The second room is *te*, tensor expressions. An operator gives a formula for each element of its
# result, and so does a kernel. There are no loops here, and no order: only what each element is.

# %%
inputs = [
    placeholder(n.shape, n.dtype, name) for n, name in zip(kernel.body.inputs, kernel.body.input_names, strict=True)
]
output = kernel.compute(*inputs)
naive = lower([output], [*inputs, output], kernel.label).program

executable = minicc.compile(graph, threads=1)
print(executable.kernels[1].stages["te"])

# %% [markdown]
# Two things are worth a look. `pad` puts a border of zeros around the image, so that `conv` need not
# ask where the image ends. And nothing lies as it did in the model. The channels of a pixel lie side by side
# (*channels last*), and the weights have five dimensions where the model has four: "choose layouts"
# stored them in blocks of output channels, because that is how a processor with vectors wants to read them.

# %%
block = kernel.body.inputs[1].shape[-1]
print(f"blocks of {block} output channels; a vector register holds {target.lanes('float32')} of them")

# %% [markdown]
# ## 4. One kernel as loops
#
# `lower` turned the formulas into a *loop program*, the third room: a nest of loops for each formula,
# memory for each tensor in between. It is naive on purpose. Nothing in it is clever, so nothing in
# it is wrong. And it is printed as Python:

# %%
print(naive)

# %% [markdown]
# Python that runs. We draw some inputs, run the program on them, and compare with the NumPy
# reference of the kernel, which is a small graph of its own.

# %%
random = np.random.default_rng(0)
arrays = [random.standard_normal(b.shape, np.float32) for b in naive.params]
expected = evaluate(kernel.body, dict(zip(kernel.body.input_names, arrays, strict=True)))["out"]

got = np.empty(expected.shape, np.float32)
start = time.perf_counter()
run_python(naive, *arrays, got)
python_seconds = time.perf_counter() - start
assert np.allclose(got, expected, atol=1e-3)
print(f"the naive program as Python: {python_seconds * 1e6:.0f} us")

# %% [markdown]
# The same program as machine code. `compile` takes a *schedule*; this one has no steps yet.

# %%
schedule = Schedule(naive)
runs = {}


def measure(title):
    """Compile the schedule as it is, compare its answer, and note its time."""
    compiled = minicc.compile(schedule, threads=1)
    (answer,) = compiled(*arrays)
    assert np.allclose(answer, expected, atol=1e-3)
    runs[title] = best_microseconds(lambda: compiled(*arrays))
    print(f"{title}: {runs[title]:.1f} us, {compiled.kernels[0].flops / runs[title] / 1e3:.1f} GFLOP/s")
    return compiled


compiled = measure("naive")

# %% [markdown]
# ## 5. A schedule, by hand
#
# A schedule changes *how* something is computed, never *what*. It is a sequence of *steps*, and each
# is checked: it either keeps the answer, or is refused. Loops and buffers are called by name.
#
# First: `packed_conv` only moves data, and `add` is one addition. Neither needs memory of its own
# when it is computed where it is read.

# %%
schedule.compute_inline("packed_conv")
schedule.compute_inline("add")
print(schedule.program)
measure("without copies")

# %% [markdown]
# Now the convolution reads 9 x 16 numbers for each of its results, and adds them up in memory. A
# processor is fast when it adds up in registers, many results at once. So we cut the work into
# tiles: a block of output channels (a vector) for four neighbouring pixels. The loops that *read*
# the sums decide the tiles; they are those of `relu`.

# %%
print("loops of relu:", schedule.loops_of("relu"))
batch, row, column, channel = schedule.loops_of("relu")
channel_block, channel_lane = schedule.split(channel, factor=block)
column_tile, column_pixel = schedule.split(column, factor=4)
schedule.reorder(batch, row, channel_block, column_tile, column_pixel, channel_lane)

# %% [markdown]
# Then the sums of a tile are computed inside of the loop over tiles, into memory that is local to
# it, small enough for registers.

# %%
schedule.compute_at("conv", column_tile, scope="local")
print(schedule.program)

# %% [markdown]
# The convolution now has loops over the tile, with the reduction inside. We turn that inside out:
# for each weight vector that is loaded, go through all pixels of the tile.

# %%
reduction = schedule.reduce_loops_of("conv")
around = (batch, row, channel_block, column_tile)
tile = [name for name in schedule.loops_of("conv") if name not in (*reduction, *around)]
print("reduction:", reduction, "tile:", tile)
schedule.reorder(*reduction, *tile)
schedule.vectorize(tile[-1])
for name in tile[:-1]:
    schedule.unroll(name)
schedule.unroll(column_pixel)
compiled = measure("tiles in registers")
print(schedule.program)

# %% [markdown]
# What is not legal is refused, with a reason. The sums over `ic` cannot be computed in parallel:
# every trip of that loop adds to the same numbers.

# %%
try:
    schedule.parallel("ic")
    raise AssertionError("this must be refused")
except minicc.MiniccError as error:
    print(error)

# %% [markdown]
# A schedule knows every legal next step. This is the list that a machine would search through, and
# it is yours, too. A step can be taken back, and the steps so far are a *trace*: it prints as the
# Python that makes it, and can be replayed on the naive program.

# %%
moves = schedule.moves()
print(f"{len(moves)} legal moves, for example:", *moves[:3], sep="\n  ")
undone = schedule.undo()
schedule.apply(undone)
print(schedule.trace)
assert schedule.trace.replay(naive).program is schedule.program

# %% [markdown]
# And the scheduled program is still Python, of the same answer.

# %%
got[:] = 0
run_python(schedule.program, *arrays, got)
assert np.allclose(got, expected, atol=1e-3)

# %% [markdown]
# ## 6. LLVM and machine code
#
# The last room belongs to LLVM. Translating to it takes no decision: a loop that was vectorized is
# an operation on vectors, one that was unrolled is gone. One multiplication and one addition is left
# for each of the four pixels of a tile, and each works on a whole block of channels.

# %%
llvm = compiled.kernels[0].stages["llvm"]
vectors = [line.strip() for line in llvm.splitlines() if re.search(rf"f(mul|add).*<{block} x float>", line)]
print("\n".join(vectors[:8]))
assert len(vectors) >= 8

# %% [markdown]
# LLVM then chooses instructions, and a register for every number. This is the innermost loop, from
# its label to the jump back to it:

# %%
pieces = re.split(r"(?m)^(?=\S+:)", compiled.kernels[0].stages["asm"].expandtabs(8))
innermost = max(pieces, key=lambda piece: len(re.findall(r"fmadd|fmla|mulps", piece)))
label = innermost.partition(":")[0]
print(re.split(rf"(?m)(?<={re.escape(label)})$", innermost)[0])

# %% [markdown]
# ## 7. The whole model
#
# `minicc.compile` does all of this for each kernel, with a *recipe* in our place that chooses the
# steps, and nothing but the steps that we used. It then plans the memory, and links all kernels
# into one function.

# %%
print(executable.kernels[1].stages["trace"])

# %%
print(executable)
probabilities = np.concatenate([executable(image[None])[0] for image in images])
assert np.allclose(probabilities, reference, atol=1e-5)
assert np.array_equal(probabilities.argmax(1), reference.argmax(1))
print("all answers are those of the reference")

microseconds = best_microseconds(lambda: executable(images[:1]))
numpy_microseconds = best_microseconds(lambda: evaluate(graph, {"image": images[:1]}), runs=5)
print(f"one image: {microseconds:.0f} us compiled, {numpy_microseconds:.0f} us by NumPy")
for info, seconds in zip(executable.kernels, executable.profile(images[:1]), strict=True):
    print(f"{info.symbol:30} {seconds * 1e6:8.1f} us")

# %% [markdown]
# And our kernel, on the way:

# %%
print(f"{'as Python':20} {python_seconds * 1e6:10.1f} us")
for title, taken in runs.items():
    print(f"{title:20} {taken:10.1f} us")

# %% [markdown]
# ## Try it
#
# - Make the tile 8 pixels wide, or 2. Which is the fastest, and why is wider not always better?
#   (Count the vector registers that the sums of a tile need: `target.registers` says how many there
#   are.)
# - Vectorize `pad` and the loop that writes `relu`. Is it worth it?
# - Leave out `scope="local"`. The answer stays the same; what happens to the LLVM text?
# - Take a random walk: apply moves from `schedule.moves()`, and check the answer after each. Can you
#   find one that changes it? (If so, please report it.)
