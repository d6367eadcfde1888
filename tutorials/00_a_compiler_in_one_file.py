# %% [markdown]
# # A tensor compiler in one file
#
# A neural network is a list of sums and products over arrays. *How does such a list become something that a
# processor runs, fast?* By a compiler: it translates a description of work into instructions. There is one honest way
# to understand compilers: build one. Here is one, from nothing, whole, in less than 400 lines of code. It ends up
# running a real network, which reads handwritten digits.
#
# Type it rather than read it: open an empty notebook, and copy each cell by hand. Every piece runs as soon as it
# stands there. You need Python and NumPy, for the last piece llvmlite, and of minicc only the weights of the
# network, what draws a picture, and what checks your answers.

# %%
import ctypes
import struct
import time
from itertools import count
from math import inf, prod

import numpy as np

# %% [markdown]
# ## 1. Formulas
#
# What does a layer of a network compute? One number for each place of its result, by a formula. So formulas come
# first. An `Expr` is an operation and what it is applied to: other formulas, or plain numbers. Python lets us say
# what `+` means for them, and all we say is: remember it.


# %%
def operation(name):
    return lambda *args: Expr(name, *args)


class Expr:
    """A formula: an operation, and what it is applied to."""

    __add__, __sub__, __mul__, __truediv__ = map(operation, "+-*/")

    def __init__(self, op, *args):
        self.op, self.args = op, args


def python(e):
    """A formula as the text that Python would have for it."""
    if not isinstance(e, Expr):
        return repr(e)
    if e.op in ("i64", "float"):  # a variable: of whole numbers of 64 bits, or of floats of 32
        return e.args[0]
    if e.op == "load":  # an element of an array
        return f"{e.args[0].name}[{', '.join(map(python, e.args[1:]))}]"
    args = [python(a) for a in e.args]
    if e.op == "equal":
        return f"({args[2]} if {args[0]} == {args[1]} else {args[3]})"
    return f"({f' {e.op} '.join(args)})" if e.op in "+-*/" else f"{e.op}({', '.join(args)})"


i, a = Expr("i64", "i"), Expr("float", "a")
print(python((a * 2.0 + 1.0) / a))

# %% [markdown]
# Nothing was computed: `a` has no value. We hold the formula itself, and can do with it what we like. Print it,
# count it, change it, translate it. All of this lesson follows from that.
#
# Some functions that networks need, and one choice: `equal(p, q, x, y)` is `x` where `p` is `q`, else `y`.


# %%
maximum, minimum, exp, sqrt, equal = map(operation, ("max", "min", "exp", "sqrt", "equal"))


def over(op, start, extents, body):
    """Combine `body(k, ...)` by "+" or "max" for all k below the extents: a sum, or the greatest of many."""
    return Expr("over", op, start, extents, body)


# %% [markdown]
# ## 2. Layers
#
# What a layer does to whole arrays is an **operator**: Relu, say, which replaces what is negative by zero. One use
# of an operator, on certain inputs, is a **node**. It knows the shape of its result, and a formula for each element:
# a function from the place to an `Expr`. And so that we can always tell right from wrong, it has a **reference**:
# the same in NumPy, slow and beyond doubt.


# %%
class Node:
    """One use of an operator; the inputs and weights of a network are nodes without a formula."""

    numbers = count()

    def __init__(self, op, inputs, shape, formula=None, reference=None):
        self.op, self.inputs, self.shape = op, inputs, tuple(shape)
        self.formula, self.reference = formula, reference
        self.name = f"{op}{next(Node.numbers)}"

    def __getitem__(self, index):
        return Expr("load", self, *(index if isinstance(index, tuple) else (index,)))


def given(name, shape):
    return Node(name, [], shape)


def relu(x):
    return Node("relu", [x], x.shape, lambda *at: maximum(x[at], 0.0), lambda x: np.maximum(x, 0))


x = given("x", (3,))
y = relu(x)
print(f"{y.name}[i] =", python(y.formula(i)), "   y's inputs:", [n.name for n in y.inputs])

# %% [markdown]
# Nodes that read each other are a **graph**. To run it with NumPy, call the reference of one node after the other, a
# node after what it reads. That is an interpreter, in a dozen lines:


# %%
def in_order(node, before=()):
    """All nodes that a node needs, each once, after what it reads, and at last the node itself."""
    if node in before:
        return before
    for n in node.inputs:
        before = in_order(n, before)
    return (*before, node)


def interpret(output, arrays):
    """The value of a node, by the references. `arrays` has those of the nodes without a formula."""
    values = dict(arrays)
    for n in in_order(output):
        if n.formula:
            values[n] = np.asarray(n.reference(*[values[k] for k in n.inputs]), np.float32)
    return values[output]


print(interpret(relu(y), {x: np.float32([-1, 0, 2])}))

# %% [markdown]
# ## 3. A real network
#
# Images of 8 x 8 pixels go into our network, ten probabilities come out. It needs seven more operators, and four
# small ones that together are a *softmax*: they turn ten numbers into shares that add up to 1. Each is its formula,
# and you can read it like one. An image has three indices: its channel `c` (a grey image has one, the layers inside
# have 16, 32 and 64), its row `y` and its column `x`.
#
# Take your time for `conv`, a *convolution*: each number is a sum over all channels `k` and a window of 3 x 3
# pixels, weighted by `w`. So that the window never leaves the image, `pad` puts a border of zeros around it. How
# does `pad` itself not read outside? It reads the nearest pixel that there is, and takes zero instead wherever that
# is not the pixel it wanted.


# %%
def pad(image):
    channels, height, width = image.shape

    def formula(c, y, x):
        row, column = minimum(maximum(y - 1, 0), height - 1), minimum(maximum(x - 1, 0), width - 1)
        return equal(row, y - 1, equal(column, x - 1, image[c, row, column], 0.0), 0.0)

    shape = (channels, height + 2, width + 2)
    return Node("pad", [image], shape, formula, lambda a: np.pad(a, ((0, 0), (1, 1), (1, 1))))


def conv(image, w):
    outputs, _, size, _ = w.shape
    shape = (outputs, image.shape[1] - size + 1, image.shape[2] - size + 1)

    def formula(c, y, x):
        return over("+", 0.0, w.shape[1:], lambda k, i, j: image[k, y + i, x + j] * w[c, k, i, j])

    def reference(a, w):
        return np.einsum("kyxij,ckij->cyx", np.lib.stride_tricks.sliding_window_view(a, (size, size), (1, 2)), w)

    return Node("conv", [image, w], shape, formula, reference)


def bias(image, b):
    return Node("bias", [image, b], image.shape, lambda c, *at: image[c, *at] + b[c], lambda a, b: (a.T + b).T)


def norm(image, scale, shift, mean, var):
    def formula(c, *at):
        return (image[c, *at] - mean[c]) / sqrt(var[c] + 1e-5) * scale[c] + shift[c]

    def reference(a, scale, shift, mean, var):
        return ((a.T - mean) / np.sqrt(var + 1e-5) * scale + shift).T

    return Node("norm", [image, scale, shift, mean, var], image.shape, formula, reference)


def maxpool(image):
    channels, height, width = image.shape

    def formula(c, y, x):
        return over("max", -inf, (2, 2), lambda i, j: image[c, y * 2 + i, x * 2 + j])

    def reference(a):
        return a.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))

    return Node("maxpool", [image], (channels, height // 2, width // 2), formula, reference)


def average(image):
    channels, height, width = image.shape

    def formula(c):
        return over("+", 0.0, (height, width), lambda y, x: image[c, y, x]) / float(height * width)

    return Node("average", [image], (channels,), formula, lambda a: a.mean((1, 2)))


def linear(a, w):
    def formula(o):
        return over("+", 0.0, a.shape, lambda k: a[k] * w[o, k])

    return Node("linear", [a, w], w.shape[:1], formula, lambda a, w: w @ a)


def softmax(a):  # four nodes: exp(a - the greatest) as shares of its sum
    most = Node("most", [a], (1,), lambda _: over("max", -inf, a.shape, lambda k: a[k]), lambda a: a.max(keepdims=True))
    e = Node("exp", [a, most], a.shape, lambda i: exp(a[i] - most[0]), lambda a, m: np.exp(a - m))
    total = Node("sum", [e], (1,), lambda _: over("+", 0.0, a.shape, lambda k: e[k]), lambda e: e.sum(keepdims=True))
    return Node("share", [e, total], a.shape, lambda i: e[i] / total[0], lambda e, s: e / s)


# %% [markdown]
# The *weights* are the numbers that a network has learned. Somebody else trained ours, and they lie in a file, which
# minicc reads for us. It also has images that the training never saw.

# %%
from importlib import resources

import minicc
from minicc.course.checks import lesson_00 as check

with resources.as_file(resources.files("minicc.cli") / "digits") as folder:
    loaded = minicc.load(folder / "digits.onnx")
    weights = {span.name: n.op.data.array for n, span in loaded.spans.items() if n.op.name == "Constant"}
    held_out = np.load(folder / "heldout.npz")
images, labels = held_out["images"] / np.float32(16), held_out["labels"]

arrays = {}  # of the weights, by node


def weight(name):
    node = given(name, weights[name].shape)
    arrays[node] = weights[name]
    return node


def layer(value, n):  # a convolution, and what normalizes its results
    value = bias(conv(pad(value), weight(f"w{n}")), weight(f"b{n}"))
    return relu(norm(value, *[weight(f"{part}{n + 1}") for part in ("scale", "shift", "mean", "var")]))


image = given("image", (1, 8, 8))
features = average(layer(maxpool(layer(layer(image, 0), 3)), 7))
digit = softmax(bias(linear(features, weight("w12")), weight("b12")))
print(len([n for n in in_order(digit) if n.formula]), "nodes compute something; the last one's shape:", digit.shape)

expected = np.array([interpret(digit, {**arrays, image: each}) for each in images])
print(f"NumPy: {np.mean(expected.argmax(1) == labels):.1%} of {len(images)} images are right")
assert np.mean(expected.argmax(1) == labels) > 0.99

# %% [markdown]
# ## 4. Loops
#
# NumPy did the work so far. Now we do it ourselves. A formula for each element, and a loop over all elements: that
# is all it takes. A sum within a formula is a loop of its own, which runs before the element is stored. Going from
# formulas to loops is called **lowering**: it says the same, one floor closer to the machine. What a node becomes is
# a **kernel**.
#
# Loops have three kinds of lines: a `For` around others, a variable that is `Set`, an element to `Store`. And as we
# hold them in our hands, like formulas, we can ask what they will load, and how often, before anything runs.

# %%
from typing import NamedTuple


class For(NamedTuple):
    index: str
    extent: int
    body: list


class Set(NamedTuple):
    name: str
    value: Expr


class Store(NamedTuple):
    element: Expr
    value: Expr


class Kernel(NamedTuple):
    node: Node
    parts: list  # the nodes that it computes
    reads: list  # the nodes that it loads
    body: list


def nest(indices, extents, body):
    """Loops inside each other around a body."""
    for index, extent in reversed(list(zip(indices, extents, strict=True))):
        body = [For(index.args[0], extent, body)]
    return body


def loads(what, times=1):
    """Each load in statements or a formula, as (node, how often it happens)."""
    match what:
        case For(_, extent, body):
            yield from loads(body, times * extent)
        case Set(_, value) | Store(_, value):
            yield from loads(value, times)
        case list():
            for each in what:
                yield from loads(each, times)
        case Expr():
            if what.op == "load":
                yield what.args[0], times
            for each in what.args:
                yield from loads(each, times)


one = Expr("i64", "i")
add_up = nest([one], [3], [Set("t", Expr("+", Expr("float", "t"), x[one]))])
print([(n.name, times) for n, times in loads(add_up)])

# %% [markdown]
# `Lowering.flat` is the heart of it. It takes a formula apart until only what a loop can do is left:
#
# - An element of a stored node is loaded. (`stored` is a set: the nodes that have an array of their own.)
# - An element of any other node is replaced by its formula. For now all are stored; keep this line in mind.
# - A sum is replaced by a variable. The loop that fills the variable goes to a list, `before`: it has to run first.


# %%
class Lowering:
    """Makes loops of one node."""

    def __init__(self, stored):
        self.stored, self.parts, self.numbers = stored, [], count()

    def kernel(self, node):
        at = [Expr("i64", f"i{n}") for n in range(len(node.shape))]
        before = []
        value = self.flat(self.formula(node, at), before)
        body = nest(at, node.shape, [*before, Store(node[tuple(at)], value)])
        return Kernel(node, self.parts[::-1], list(dict.fromkeys(n for n, _ in loads(body))), body)

    def formula(self, node, at):
        self.parts.append(node)
        return node.formula(*at)

    def flat(self, e, before):
        """A formula without sums, and with loads from stored nodes only; what comes before it is added to a list."""
        if not isinstance(e, Expr) or e.op in ("i64", "float"):
            return e
        if e.op == "load":
            node, at = e.args[0], [self.flat(a, before) for a in e.args[1:]]
            return node[tuple(at)] if node in self.stored else self.flat(self.formula(node, at), before)
        if e.op == "over":
            op, start, extents, body = e.args
            n, inside = next(self.numbers), []
            so_far, at = Expr("float", f"t{n}"), [Expr("i64", f"k{n}_{a}") for a in range(len(extents))]
            one_more = Expr(op, so_far, self.flat(body(*at), inside))
            before += [Set(f"t{n}", start), *nest(at, extents, [*inside, Set(f"t{n}", one_more)])]
            return so_far
        return Expr(e.op, *[self.flat(a, before) for a in e.args])


def kernels(output, stored):
    """What computes the stored nodes, in order."""
    return [Lowering(stored).kernel(n) for n in in_order(output) if n in stored and n.formula]


everything = set(in_order(digit))
naive = kernels(digit, everything)

# %% [markdown]
# To see a kernel, print it, as Python:


# %%
def lines(body, indent="    "):
    for each in body:
        match each:
            case For(index, extent, inside):
                yield f"{indent}for {index} in range({extent}):"
                yield from lines(inside, indent + "    ")
            case Set(name, value):
                yield f"{indent}{name} = {python(value)}"
            case Store(element, value):
                yield f"{indent}{python(element)} = {python(value)}"


def text(kernel):
    arguments = ", ".join(n.name for n in [*kernel.reads, kernel.node])
    return "\n".join([f"def {kernel.node.name}({arguments}):", *lines(kernel.body)])


print(text(naive[1]))

# %% [markdown]
# It is more than a picture of the kernel: it runs. `build` makes an array for each stored node, translates each
# kernel, and gives a function that calls one after the other.


# %%
def as_python(kernel):
    names = {"max": max, "min": min, "exp": np.exp, "sqrt": np.sqrt, "inf": inf}
    exec(text(kernel), names)
    return names[kernel.node.name]


def build(output, arrays, stored, translate=as_python):
    """A function that computes a node; its arguments are arrays, by node, beside those that are known now."""
    memory = {**arrays, **{n: np.empty(n.shape, np.float32) for n in stored if n not in arrays}}
    calls = [(translate(k), [memory[n] for n in [*k.reads, k.node]]) for k in kernels(output, stored)]

    def run(given):
        for node, array in given.items():
            memory[node][...] = array
        for call, arguments in calls:
            call(*arguments)
        return memory[output].copy()

    return run


start = time.perf_counter()
got = build(digit, arrays, everything)({image: images[0]})
python_seconds = time.perf_counter() - start
assert np.allclose(got, expected[0], atol=1e-5)
print(f"label {labels[0]}, answer {got.argmax()}, in {python_seconds:.2f} s")

# %% [markdown]
# The same answer as NumPy's, and all of it is ours. It is slow, of course: Python reads every line again on every trip.
# Patience; first we make it *better*.
#
# ## 5. Two at once
#
# `relu` loads each number, compares it, and stores it, right after `norm` had it in its hands. Why not do both at once?
# That is **fusion**: several nodes become one kernel, and what lies between them never goes to memory. All the
# machinery is there: we only leave a node out of `stored`. But out of which may we leave it?
#
# - Not if two others read it: it would be computed twice.
# - Not if its reader needs its elements more than once, as `conv` does. Each would be computed again and again.
#
# A reader with the same shape, such as `relu`, takes each element once. That is our rule, for now.


# %%
def fuse(output, rule):
    """The nodes that are stored when a node is written into its reader wherever `rule(node, reader)` allows it."""
    nodes = in_order(output)
    readers = {n: [r for r in nodes if n in r.inputs] for n in nodes}
    return {n for n in nodes if not (n.formula and len(readers[n]) == 1 and rule(n, readers[n][0]))}


def same_shape(node, reader):
    return node.shape == reader.shape


stored = fuse(digit, same_shape)
fused = kernels(digit, stored)
print(text(fused[1]))

# %% [markdown]
# Read it from the inside out: a convolution, its bias, its normalization, and `max(..., 0.0)` in one line. What have
# we gained? Let us count what goes to and comes from memory, for one image.


# %%
def traffic(kernels):
    """The loads and the stores of some kernels."""
    some = list(kernels)
    return sum(times for k in some for _, times in loads(k.body)), sum(prod(k.node.shape) for k in some)


for title, some in (("naive", naive), ("fused", fused)):
    print(f"{title}: {len(some):2} kernels, {traffic(some)[0]:,} loads, {traffic(some)[1]:,} stores")
assert len(naive) == 23 and len(fused) == 13
assert traffic(fused)[1] < traffic(naive)[1] / 2
assert traffic(k for k in fused if "conv" in {n.op for n in k.parts})[0] > 0.99 * traffic(fused)[0]

# %% [markdown]
# More than half of the stores are gone, and hardly any of the loads: these are in the inner loops of the
# convolutions. The picture shows each kernel as a box, with the nodes in it, and how much it stores.

# %%
from minicc.explain.picture import Picture, rect
from minicc.explain.picture import text as words


def column(title, some, left):
    top = 40
    yield words(left, 24, title, "bold")
    for k in some:
        height = 20 * len(k.parts)
        yield rect(left, top, 110, height - 4, "c1" if len(k.parts) > 1 else "soft", rx=4)
        yield from (words(left + 8, top + 13 + 20 * n, part.op) for n, part in enumerate(k.parts))
        yield words(left + 120, top + 13, f"{prod(k.node.shape):,} stores", "muted")
        top += height


shapes = [*column("naive", naive, 16), *column("fused", fused, 256)]
said = f"{len(naive)} kernels on the left, {len(fused)} on the right, where conv, bias, norm and relu share a box."
Picture("A digits network before and after fusion", said, 480, 40 + 20 * len(naive), shapes)

# %% [markdown]
# ## 6. Machine code
#
# The loops say all that a processor needs to know. What is left is its language, and nobody writes that by hand:
# **LLVM** does it, the library inside of Clang, Rust and Julia. It reads a language of its own, close to every
# processor, where each line does one thing, and each result gets a name that is used once. Walk over a formula from
# the inside out, write one line for each operation: that is **code generation**.


# %%
FLOATS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv", "max": "llvm.maxnum.f32", "min": "llvm.minnum.f32"}
WHOLE = {"+": "add", "-": "sub", "*": "mul", "max": "llvm.smax.i64", "min": "llvm.smin.i64"}
WORDS = {"float": {**FLOATS, "exp": "llvm.exp.f32", "sqrt": "llvm.sqrt.f32"}, "i64": WHOLE}


class Lines:
    """LLVM's text of one kernel, as it grows: `top` declares variables, `body` does the work."""

    def __init__(self):
        self.top, self.body, self.declared, self.numbers = {}, [], set(), count()

    def put(self, line):
        """Write a line, and give back the name of its result."""
        name = f"%v{next(self.numbers)}"
        self.body.append(f"  {name} = {line}")
        return name


def constant(number, kind):
    """A plain number as LLVM writes it: floats by their bits, so that nothing is rounded."""
    return str(number) if kind == "i64" else "0x" + struct.pack(">d", np.float32(number)).hex().upper()


def values(out, *args):
    """The type of some arguments and their names; plain numbers are of the type of the formulas beside them."""
    made = [value(out, a) if isinstance(a, Expr) else a for a in args]
    kind = next((m[0] for m in made if isinstance(m, tuple)), "float")
    return kind, [m[1] if isinstance(m, tuple) else constant(m, kind) for m in made]


def value(out, e):
    """Write what computes a formula; its type and its name."""
    match e.op:
        case "i64" | "float":
            return e.op, out.put(f"load {e.op}, ptr %{e.args[0]}")
        case "load":
            return "float", out.put(f"load float, ptr {address(out, e)}")
        case "equal":
            kind, (left, right) = values(out, *e.args[:2])
            result, (yes, no) = values(out, *e.args[2:])
            same = out.put(f"icmp eq {kind} {left}, {right}")
            return result, out.put(f"select i1 {same}, {result} {yes}, {result} {no}")
    kind, names = values(out, *e.args)
    word = WORDS[kind][e.op]
    if not word.startswith("llvm."):
        return kind, out.put(f"{word} {kind} {', '.join(names)}")
    out.declared.add(f"declare {kind} @{word}({', '.join([kind] * len(names))})")
    return kind, out.put(f"call {kind} @{word}({', '.join(f'{kind} {n}' for n in names)})")


def address(out, e):
    """Where an element lies: LLVM knows how arrays of arrays are laid out."""
    node, *at = e.args
    kind = "".join(f"[{extent} x " for extent in node.shape) + "float" + "]" * len(node.shape)
    places = "".join(f", i64 {value(out, a)[1] if isinstance(a, Expr) else a}" for a in at)
    return out.put(f"getelementptr {kind}, ptr %{node.name}, i64 0{places}")


out = Lines()
value(out, y.formula(i))
print("\n".join(out.body))

# %% [markdown]
# This is `max(x0[i], 0.0)`, from the inside out: `i` is fetched from its variable, `getelementptr` finds the place of
# the element in memory, `load` reads it, and a function that LLVM knows takes the greater of two. The rest is loops:
# a loop is a jump back to a label, as long as there is more to do.


# %%
def statement(out, s):
    match s:
        case Store(element, new):
            out.body.append(f"  store float {values(out, new)[1][0]}, ptr {address(out, element)}")
        case Set(name, new):
            out.top[name] = f"  %{name} = alloca float"
            out.body.append(f"  store float {values(out, new)[1][0]}, ptr %{name}")
        case For(i, extent, body):
            out.top[i] = f"  %{i} = alloca i64"
            out.body += [f"  store i64 0, ptr %{i}", f"  br label %loop.{i}", f"loop.{i}:"]
            for each in body:
                statement(out, each)
            following = out.put(f"add i64 {out.put(f'load i64, ptr %{i}')}, 1")
            out.body.append(f"  store i64 {following}, ptr %{i}")
            more = out.put(f"icmp slt i64 {following}, {extent}")
            out.body += [f"  br i1 {more}, label %loop.{i}, label %done.{i}", f"done.{i}:"]


def llvm_text(kernel):
    out = Lines()
    for each in kernel.body:
        statement(out, each)
    arguments = ", ".join(f"ptr noalias %{n.name}" for n in [*kernel.reads, kernel.node])
    head = [*sorted(out.declared), f"define void @{kernel.node.name}({arguments}) {{"]
    return "\n".join([*head, *out.top.values(), *out.body, "  ret void", "}"])


print(llvm_text(kernels(y, {x, y})[0]))

# %% [markdown]
# Go through it line by line: `alloca` is a variable, `br` a jump. The text goes to LLVM, which tidies it up, chooses
# instructions, and hands out the address where they are. `ctypes` calls what is there.

# %%
import llvmlite.binding as llvm

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


def as_machine_code(kernel):
    module = llvm.parse_assembly(llvm_text(kernel))
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    address = engine.get_function_address(kernel.node.name)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len([*kernel.reads, kernel.node]))(address)

    def call(*arrays):
        function(*[a.ctypes.data for a in arrays])

    call.engine = engine  # as long as the call lives, so does its code
    return call


runs = {}
for title, some in (("naive", everything), ("fused", stored)):
    run = build(digit, arrays, some, as_machine_code)
    start = time.perf_counter()
    answers = np.array([run({image: each}) for each in images])
    runs[title] = (time.perf_counter() - start) / len(images)
    assert np.allclose(answers, expected, atol=1e-5)
    assert np.mean(answers.argmax(1) == labels) > 0.99
    print(f"{title}: {np.mean(answers.argmax(1) == labels):.1%} right, {runs[title] * 1e6:,.0f} microseconds an image")
print(f"as Python one image took {python_seconds * 1e6:,.0f}: {python_seconds / runs['fused']:,.0f} times as long")

# %% [markdown]
# That is a tensor compiler: a graph of operators with their references, lowering to loops, fusion, code generation,
# LLVM. Fusion hardly shows in the time, as we knew from the counts: nearly all loads are in the loops of the
# convolutions. There the work is, and most of the lessons to come are about loops.
#
# minicc, PyTorch's Inductor, XLA and TVM have these parts, too, each many times as large. The lessons that follow
# open them up, one after the other.

# %% [markdown]
# ### Exercise 1
#
# Give the compiler an operator: `leaky` keeps what is positive, and shrinks what is negative to a tenth. Answer with a
# function that takes a node and gives a node, as `relu` does. You need to change nothing else.
#
# <details><summary>Hint</summary>
# The greater one of `x` and a tenth of `x`: try it with 5 and with -5.
# </details>

# %%
answer = ...
check.ex1(answer, given, build)

# %% [markdown]
# ### Exercise 2
#
# How many elements does `fused[1]` load, the kernel whose text stands in section 5? Count by hand: it has 16 channels
# of 8 x 8 results. Each is a sum over a window of 3 x 3 pixels of a single channel; then come the bias, the
# normalization, and Relu.

# %%
answer = ...
check.ex2(answer, fused[1], loads)

# %% [markdown]
# ### Exercise 3
#
# `same_shape` is too strict. `maxpool` has another shape than what it reads, yet needs each element only once; so does
# `average`. Write a better rule, `rule(node, reader)`. Do not list names: count
# how often the reader loads from the node. What happens with a rule that always says yes?
#
# <details><summary>Hint</summary>
# `Lowering(set(reader.inputs)).kernel(reader).body` are the loops of the reader alone.
# `loads` of them has what they load; `prod(node.shape)` is how many elements there are.
# </details>

# %%
answer = ...
check.ex3(answer, digit, fuse, kernels, loads)

# %% [markdown]
# ## Words
#
# - **operator**: what a node computes, with its attributes
# - **node**: one use of an operator: its inputs and its type
# - **graph**: operators and the values that flow between them
# - **reference**: the NumPy function that says what an operator means
# - **lowering**: saying the same closer to the machine: formulas become loops, loops become instructions
# - **kernel**: nodes that were fused, and the function that they become
# - **fusion**: computing several nodes in one kernel, so that what is between them needs no memory
# - **LLVM**: the library that many compilers leave the processor's language to
# - **code generation**: writing the loops of a kernel in the language that comes after them

# %% [markdown]
# ## What was not told
#
# - Our loops are as naive as they look. Put into an order that suits the processor they are many times as fast:
#   lessons 3 to 9.
# - We know only floats of 32 bits, and one image at a time. Our formulas check nothing: a wrong index writes
#   anywhere. In minicc an index outside of its array is refused before there is machine code.
# - `norm` could vanish altogether: its numbers are known, and fit into the weights of the convolution before it. Lesson
#   10 does that.
# - Each result here has an array for itself. Arrays that are not needed at the same time can share memory: lesson 12.
# - We allowed a difference of 0.00001, because sums in another order round differently. What may differ, and how
#   much, is a question of its own: lesson 13.
# - To read on: "Autodidax" of JAX builds another such core, that of derivatives, in the same way.
