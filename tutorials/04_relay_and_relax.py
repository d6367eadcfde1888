# %% [markdown]
# # Relay, and what came after it
#
# A compiler is also a history of opinions. From 2018 to 2025 TVM wrote down what to compute in a language called
# *Relay*; today it does so in another one, *Relax*. Both take the same networks, and a trained network does not
# change. What changed is everything between. In this lesson one small network goes through three compilers:
# minicc, TVM with Relay, and TVM with Relax. We stop at each stage, read what each has made of it, and then say
# what Relax changed, and why Relay went.
#
# Run this file as a script, or open it as a notebook (the cells start with `# %%`). It needs both: today's TVM,
# `pip install "apache-tvm==0.27.0.post1" "apache-tvm-ffi==0.1.14.post1"`, and TVM 0.16, which still has Relay and which
# `minicc doctor --setup-relay` puts into an environment of its own. minicc asks it through a process, as the two cannot
# be imported together.

# %%
import json
import re
import statistics
import textwrap
import time
from importlib import resources

import numpy as np
import tvm
from tvm import relax

import minicc
from minicc import ops
from minicc.bridge.groups import operators
from minicc.bridge.old_tvm import old_tvm
from minicc.bridge.relax import build_relax, call_relax, cpu_pipeline, to_relax
from minicc.bridge.relay import relay_program, to_relay
from minicc.compile import pipeline
from minicc.explain.fusion import before_fusion, compare_fusion
from minicc.graph import Graph, bind, evaluate, input
from minicc.target import Target
from minicc.types import Symbol, TensorType, float32

WIDTH = 120


def show(title, text, lines=12, wrap=False):
    """Print the first lines of a text, the long ones cut or wrapped. What stands between /* and */ are remarks, which are left out."""
    kept = [line for line in re.sub(r" */\*.*?\*/", "", text, flags=re.DOTALL).splitlines() if line.strip()]
    print(f"---- {title}")
    for line in kept[:lines]:
        deeper = " " * (len(line) - len(line.lstrip()) + 8)
        first, *rest = textwrap.wrap(line, WIDTH, subsequent_indent=deeper, drop_whitespace=False)
        print(first + "..." if rest and not wrap else "\n".join([first, *rest]))
    print(f"... and {len(kept) - lines} more lines\n" if len(kept) > lines else "")


# %% [markdown]
# ## 1. One graph, three texts
#
# The network is the one of the first lesson, which tells handwritten digits apart. We bind its batch to one
# image, and hand the same graph to all.

# %%
folder = resources.files("minicc.cli") / "digits"
model = minicc.load(folder.joinpath("digits.onnx").read_bytes())
with resources.as_file(folder / "heldout.npz") as path, np.load(path) as held_out:
    image = held_out["images"][6:7].astype(np.float32) / np.float32(16)
    label = held_out["labels"][6]
graph = bind(model, {"batch": 1})
inputs = {"image": image}

show("minicc", "\n".join(line for line in str(graph).splitlines() if " = Constant[" not in line))
show("Relay", to_relay(graph).text)
show("Relax", to_relax(graph)["main"].script(show_meta=False))

# %% [markdown]
# They say the same, and each says it in its own way.
#
# minicc's graph is a list of nodes and nothing else. Relay is a *language*: what you see is one expression of a
# functional program, and `%3` is only a name that the printer needed. There are functions as values in it, `let`,
# `if`, patterns and recursion, so that a network with a loop can be written down, too. (Its paper calls it "a new
# IR for machine learning frameworks"; frameworks had just begun to run models written in Python.) Relax reads
# like statements: each line binds a variable, which keeps its name. The lines stand in a *dataflow block*,
# `R.dataflow()`, which promises that nothing in it has a side effect or jumps. A pass may reorder and drop what
# stands inside, and need not prove that first.
#
# ## 2. A size that is not known
#
# Here is a graph whose first size is a symbol. `Concat` puts `x` below itself. What is the size of that?

# %%
x = input("x", TensorType(float32, (Symbol("n"), 8)))
twice = ops.Concat(axis=0)(x, x)
open_graph = Graph("twice", (x,), (ops.Add()(twice, twice),), ("y",))
show("Relax", to_relax(open_graph)["main"].script())

by_hand = """
x = relay.var("x", shape=(relay.Any(), 8), dtype="float32")
twice = relay.concatenate([x, x], axis=0)
main = relay.Function([x], relay.add(twice, twice))
"""
text, _ = old_tvm().ask("graphs.text", {"source": by_hand})
show("Relay", text)
assert "?" in text and "n * 2" in to_relax(open_graph)["main"].script()

# %% [markdown]
# Relax computes with symbols: `n * 2`, known before any array is there. Relay has `Any`, which it prints as `?`,
# and two question marks have nothing to do with each other. So Relay cannot see that two buffers are of equal
# size and can share memory, and it learns only at run time whether two sizes fit. Relay was made when a picture
# had 224 x 224 pixels; then came language models, whose sentences grow by a word a step. That is the first reason
# why it went.
#
# minicc has symbols, too, but only until sizes are bound: its kernels are made for numbers. So is what it hands
# to Relay, and a size that is still open is refused.

# %%
try:
    relay_program(open_graph)
    raise AssertionError("this must be refused")
except minicc.MiniccError as error:
    print(error)

# %% [markdown]
# ## 3. Passes
#
# All three rewrite the graph before they make code of it. For minicc and for Relay we list each pass that changed
# which operators are called, with how many there are after it. (Relax comes in section 5, as its passes do not
# stop at the graph.)

# %%
target = Target.native().with_threads(1)
print("---- minicc")
ours, before = graph, [node.op for node in operators(graph)]
print(f"{'as it comes':34} {len(before):3}")
for each in pipeline(target).graph:
    ours = each.run(ours)
    called = [node.op for node in operators(ours)]
    if called != before:
        print(f"{each.name:34} {len(called):3}")
    before = called

program = relay_program(graph)
message = program.message(cpu=target.cpu)
stages, _ = old_tvm().ask("stages.texts", message, program.constants)
print("---- Relay")
for name, count in stages["passes"]:
    print(f"{name or 'as it comes':34} {count:3}")

# %% [markdown]
# The ideas are the same, whatever their names. A normalization is written as multiplications and additions
# (`SimplifyInference`), what depends on constants alone is computed (`FoldConstant`), the multiplication moves
# into the weights of the convolution (`FoldScaleAxis`), and weights and images are stored in blocks as wide as a
# vector (`AlterOpLayout`; ours is `choose layouts`).
#
# Do you see that Relay's last passes know the processor already? `AlterOpLayout` asks each operator for the
# layout that its *schedule* for this target would like. We come back to that.
#
# ## 4. Fusion
#
# Which operators become one function? Here are the answers of all three, about the graph right before minicc's
# own fusion.

# %%
comparison = compare_fusion(before_fusion(graph), ("relay", "relax"))
print(comparison)
assert {mark for region in comparison.regions for mark in region.marks} == {"same"}

# %% [markdown]
# One opinion, three times; the lesson before has a graph on which they part. Relay and Relax fuse by the same
# rules, those of the first paper on TVM: an operator has a *pattern*, and patterns say what may follow what. But
# they know it from different places. In Relay someone has written it down for each operator, beside the operator.
# In Relax it is read off the loops (`AnnotateTIROpPattern`), which works for a function that nobody has heard of,
# too.
#
# In Relay's own build, with the layouts of this processor, a group is a function inside of a function:

# %%
show("Relay, fused", stages["fused"], 24)

# %% [markdown]
# ## 5. Loops
#
# Now one kernel, the second convolution with its bias and its Relu. First ours, after its schedule:

# %%
executable = minicc.compile(graph, target)
kernel = executable.kernels[1]
show("minicc", kernel.stages["loop"], 24)

# %% [markdown]
# And Relay's. It is in TIR, TVM's language of loops, which looks like Python as well. (Two of its names are
# shortened: `f` is a loop that was fused from three, `sums` a buffer.)

# %%
names = [name for name in stages["tir"] if "conv2d" in name]
loops = stages["tir"][names[1]].replace("ax0_ax1_fused_ax2_fused", "f").replace("conv2d_NCHWc_global", "sums")
show("Relay, lowered", loops, 40, wrap=True)

# %% [markdown]
# Look twice: two teams that share no line of code came to the same program. There is a border of zeros (`pad`,
# `data_pad`); a parallel loop; in it a tile of sums in registers, a row of pixels times a block of channels,
# unrolled and vectorized; the reduction around the tile; and bias and Relu where the tile is written. That is
# what this processor wants, and both have learned it.
#
# The way there is another. minicc starts from naive loops, and a *recipe* applies public steps to them:
# `kernel.stages["schedule"]` lists them. Relay asks its table of *op strategies*: for `conv2d`, on x86, in this
# layout, take this function that computes it (in te) and that function that schedules it (a te schedule, written
# by hand, with numbers left open for the tuner AutoTVM to find; we have no record of such a search, so it falls
# back to defaults). This has a price. The function that schedules a fused group is that of its anchor, and must
# cope with everything that may have been fused to it. A new operator needs a computation and a schedule, for each
# target. And the loops exist only while one function is built: no pass of the graph ever sees them. They come out
# below, as machine code. It is a wall, with graphs on the one side and loops on the other.
#
# Relax has torn that wall down. `LegalizeOps` replaces an operator by a call of a TIR function, which lies *in
# the same module*.

# %%
module = relax.transform.LegalizeOps()(to_relax(graph))
show("Relax, legalized", module["main"].script(show_meta=False), 14)
show("Relax, one of its functions", module["conv2d1"].script(), 24)

# %% [markdown]
# `R.call_tir(conv2d1, (x, weights), out_ty=...)` is the heart of Relax: a call from the graph into the loops. A
# TIR function gives nothing back; it is handed the memory for its result, as its last argument. This is called
# *destination passing*. `call_tir` turns it into a value: "make a tensor of this type, let the function fill it,
# and that is the result". So the graph stays free of side effects, and who allocates is decided later, by passes
# that plan memory. A pass may look at both sides of such a call at once: read the pattern off the loops, fuse two
# functions (`FuseTIR`), replace one by a library's, let a tuner rewrite one, or have loops that a person wrote.
#
# And the loops are naive! `conv2d1` is what it computes, seven loops and no schedule. There is no op strategy,
# and no te schedule. Scheduling is a pass over the module like any other, by rules (*dlight*, for GPUs) or by
# search (*MetaSchedule*), with primitives that rewrite loops, as ours do. Without one, on a CPU, the loops stay
# as they are.
#
# ## 6. Machine code
#
# The innermost loop of the convolution, in both: where most of the multiplications are.


# %%
def innermost(assembly):
    """The loop that multiplies most, from its label to its last jump there, and how many vector multiplications it has."""
    multiplies = r"fmadd|fmla|v?mulps"
    plain = re.sub(r"(?m)^(\.Ltmp.*|\s+\.(loc|cfi_).*)\n", "", assembly.expandtabs(8))  # without notes for debuggers
    piece = max(re.split(r"(?m)^(?=\S+:)", plain), key=lambda p: len(re.findall(multiplies, p)))
    label = re.escape(piece.partition(":")[0])
    loop = re.split(rf"(?m)(?<={label})$", piece)[0]
    return loop, len(re.findall(multiplies, loop))


body = re.split(r"(?m)^tvmgen_\S+:$", stages["asm"].partition(f"\n{names[1]}_compute_:")[2])[0]
for title, (loop, count) in (("minicc", innermost(kernel.stages["asm"])), ("Relay", innermost(body))):
    show(f"{title}: {count} vector multiplications in {len(loop.splitlines())} lines", loop, 12)
    assert count >= 8

# %% [markdown]
# ## 7. The calls
#
# Kernels are not yet a program. Something has to call them in order, and give them memory.

# %%
print("---- minicc: one function of machine code, and an arena")
print(executable)

nodes = json.loads(stages["executor"])
places = nodes["attrs"]["storage_id"][1]
print("\n---- Relay: a graph executor, which reads JSON")
for node, place in zip(nodes["nodes"], places, strict=True):
    if node["op"] == "tvm_op":
        name, reads = node["name"].removeprefix("tvmgen_default_"), [entry[0] for entry in node["inputs"]]
        print(f"memory {place:2} = {name}(results of nodes {reads})")

code = tvm.compile(to_relax(graph), tvm.target.Target("llvm"), relax_pipeline=cpu_pipeline())
print()
show("Relax: instructions of a virtual machine", code.as_text(), 10)

# %% [markdown]
# A graph executor walks through a list: each entry calls one function, and a number says which memory holds the
# result. It is small and fast, and it can do nothing else: no `if`, no loop, no size that is not a number. For
# these Relay had a virtual machine beside it, and a third executor, ahead of time, for small devices. In Relax
# there is one: instructions for a machine that can also jump and compute sizes. Look at its calls: `alloc_tensor`
# makes memory, and the call of the kernel gets it as its last argument: destination passing, to the end.
#
# ## 8. The answer
#
# Four answers for one picture, and how long each takes here. TVM 0.16 measures itself in its own process, without
# the copying of inputs and outputs.

# %%
job, machine = 0, build_relax(to_relax(graph), fast=True)
old_tvm().ask("graphs.jobs.lower", [job, {**message, "opt_level": 3}], program.constants)
old_tvm().ask("graphs.jobs.compile", None)
answers = {
    "NumPy": evaluate(graph, inputs),
    "minicc": executable.run(inputs),
    "Relay": old_tvm().ask("graphs.jobs.run", job, inputs)[1],
    "Relax": call_relax(machine, 0, graph, inputs),
}
for name, answer in answers.items():
    probability = answer["probability"][0]
    print(f"{name:8} says {probability.argmax()}, with {probability.max():.6f}")
    np.testing.assert_allclose(probability, answers["NumPy"]["probability"][0], rtol=1e-4, atol=1e-6)
assert answers["Relay"]["probability"].argmax() == label


def median_microseconds(call, runs=50):
    """The median of many runs, by the clock on the wall."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


seconds, _ = old_tvm().ask("graphs.time", {"job": job, "threads": 1, "calls": 50}, inputs)
print(f"minicc   {median_microseconds(lambda: executable.run(inputs)):6.0f} us")
print(f"Relay    {statistics.median(seconds) * 1e6:6.0f} us, untuned")
print(f"Relax    {median_microseconds(lambda: call_relax(machine, 0, graph, inputs)):6.0f} us, without a schedule")

# %% [markdown]
# (`python -m benchmarks.judges` does the same for five large networks, in turns, and with onnxruntime beside.)
#
# ## 9. What changed, and why
#
# | | Relay | Relax |
# | --- | --- | --- |
# | a size that is not known | `?`, each one for itself | a symbol, and expressions of it |
# | side effects | references, anywhere: a pass must look for them | outside of dataflow blocks only |
# | graph and loops | two worlds; operators are lowered one way | one module; `call_tir` leads from one to the other |
# | where a result goes | decided while lowering | destination passing, visible in the IR |
# | what an operator is to the compiler | a computation and a schedule for each target: op strategies | a TIR function: legalization |
# | schedules | te schedules, made before there are loops; AutoTVM fills in numbers | rewrites of loops: by rules (dlight) or by search (MetaSchedule) |
# | who calls the kernels | graph executor, or virtual machine, or ahead of time | one virtual machine |
#
# None of the lines on the left is a mistake: networks had fixed sizes, and a good schedule was a work of hands.
# But they hold each other up. With `?` there is no symbol that loops could use, so loops must be made elsewhere;
# when they are made elsewhere, an operator must bring its schedule along; and te schedules, which describe loops
# that are not there yet, do not compose with passes that rewrite loops. So nothing could be replaced alone, and
# Relax was built beside Relay, on a branch called Unity. When that had become the main line, two compilers were
# in one house. In February 2025 Relay was removed, with AutoTVM, and te schedules followed: TVM 0.19 is the last
# release that has them.
#
# And minicc? It takes sides, differently for each line. Sizes are numbers once a graph is bound, which Relay
# would like. A kernel is a sub-graph that also has loops, and all lies in one program that can be read at every
# stage, which Relax would like. Its schedules have the surface of te, as the literature teaches it, but each step
# rewrites a program that is already there and can be run, as in TVM today.
#
# ## Try it
#
# - Write a Relay program with `relay.If`, as the text above in `by_hand`, and print it. Could a graph of minicc
#   say that?
# - `print(stages["llvm"])`, and find the loop of section 6 in it.
# - Give `stages.texts` another `cpu`, such as `skylake-avx512`. What changes in the layouts? And in the loops?
# - Put an `ops.Reshape` between a convolution and its `Relu` in a graph of your own. Which of the three still
#   fuses them?
# - Let the three disagree: `differences.DIFFERENCES`, from the lesson before, has a column for each.
