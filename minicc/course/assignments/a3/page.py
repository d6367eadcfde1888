# %% [markdown]
# # A3: Split and fuse
#
# How does a schedule step change a program, and why is the program still right afterwards? You write the two steps that all
# others are built on, as functions from a program to a program. In the end they schedule a real model, in the place of minicc's own.
#
# This page does it once, for a step that minicc does not have: `backwards` turns a loop around.

# %%
from minicc.errors import ScheduleError, caret
from minicc.ir.node import replace
from minicc.loop.accesses import accesses
from minicc.loop.ir import For, loops, map_bodies, substitute_vars
from minicc.schedule import Schedule
from minicc.schedule.examples import doubled, product
from minicc.schedule.step import loops_text
from minicc.tensor.expr import Var

program = doubled(6).program
print(loops_text(program))

# %% [markdown]
# ## A program is a tree
#
# What you read is a printed tree. A loop is a node `For`, with a variable, an extent, and a body, which is again a statement; a loop that is
# inside of another one is its body. Nodes are frozen: nothing is changed, something new is made.

# %%
loop = loops(program.body)["i"]
print(loop.var, loop.extent, loop.kind)
print(loop.body)

# %% [markdown]
# ## A step makes another tree
#
# A loop over `i` that runs backwards is a loop over `b`, in whose body `5 - b` stands wherever `i` stood. `substitute_vars` puts an
# expression in the place of a variable, in indices, in values, in conditions. Then the new loop is put where the old one was.


# %%
def put(program, old, new):
    def changed(s):
        return new if s is old else map_bodies(s, changed)

    return replace(program, body=changed(program.body))


def backwards(program, name):
    loop, variable = loops(program.body)[name], Var(f"{name}_b")
    body = substitute_vars(loop.body, {loop.var: loop.extent - 1 - variable})
    return put(program, loop, For(variable, loop.extent, body))


turned = backwards(program, "i")
print(loops_text(turned))

# %% [markdown]
# ## The same, in which order?
#
# The new program writes the same elements, in another order: below, each lights up when it is written or read, from the last to the first.
# That is what makes `backwards` dangerous. A sum that is added up backwards is rounded differently, and a loop that reads what an earlier trip wrote would read
# it too early.

# %%
Schedule(turned).picture(kind="visits")

# %%
print("before:", accesses(program).element[::2], "after:", accesses(turned).element[::2])

# %% [markdown]
# Your steps are of the harmless sort: `split` and `fuse` change which loops there are, and **no access changes its place in the
# order**. That is what the tests look at: the same loads and stores, one by one, and the same values.
#
# ## 3.1 and 3.2: split
#
# Twelve trips are three times four. Ten trips are not: the last tile of three is not full, and a guard leaves out what was not there
# before. A program that asks nothing is faster, so no guard where the factor divides.

# %%
ten = doubled(10)
ten.split("i", factor=4)
ten.picture()

# %% [markdown]
# ## 3.3: fuse
#
# Two loops of 3 and 5 trips are one of 15. Trip 7 of these is trip 1 of the outer one and trip 2 of the inner one: `7 // 5` and `7 % 5`.

# %%
both = doubled(3, 5)
both.fuse("i", "j")
both.picture()

# %% [markdown]
# A reduction has its loops written down: the variables in the axes of an `Update`. When all of them are 0 the sum begins. So a fused loop may have
# no part that belongs to the sum and another that does not: nobody could say any more when it begins.

# %%
update = loops(product(2, 3).program.body)["k"].body
print(update.axes, update.values)

# %% [markdown]
# ## 3.4: a refusal has four parts
#
# Whoever is refused wants to know: which call, what is wrong with it, where in the program, and what to do instead. `refused` in
# `kit.py` puts these together; you decide when, and find the words.

# %%
print(ScheduleError('backwards("i")', "expected a serial loop, got one of kind vectorize",
                    caret(loops_text(program), "i"), "turn it around before it is vectorized"))  # fmt: skip

# %% [markdown]
# ## 3.5: what can I do now?
#
# `moves` lists every legal step. It is how a search finds its way, how random tests are made, and how somebody who is lost finds out what
# is possible. A good `check` is all that it needs, and what a check lets through, `moves` lists: do 3.4 first.
#
# ## Whatever program
#
# The grader takes programs that you may try, too: what it calls `gemm 3 x 4` is this one, and there are more of the kind.

# %%
from minicc.testing.workloads import WORKLOADS

print(", ".join(WORKLOADS))
print(loops_text(WORKLOADS["gemm"].program(3, 4)))

# %% [markdown]
#
# ## A model on your loops
#
# `PRIMITIVES` at the end of `primitives.py` are yours, for the whole compiler:
#
#     minicc.compile("digits.onnx", primitives=PRIMITIVES)
#
# While one is open, the kernels that need it stay naive, with a warning; the answer is right all the same.
#
# ## What was not told
#
# minicc's `split` has three other ways to treat the last tile (`minicc/schedule/split.py`), and takes sizes that are not known until
# the program is called. Steps that do change the order, such as `reorder`, need a proof that it does not matter: `minicc/loop/dependence.py`.
