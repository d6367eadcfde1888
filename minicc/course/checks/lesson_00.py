"""Checks of lesson 0: an operator more, loads counted by hand, and a better rule for fusion.

The lesson has a compiler of its own, so each check is handed the functions of it that it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from minicc.course.exercise import equals, exercise, expect, number

Kernels = Callable[[Any, set[Any]], list[Any]]  # the lesson's `kernels(output, stored)`
Loads = Callable[[Any], Any]  # the lesson's `loads(body)`


@exercise
def ex1(leaky: Callable[[Any], Any], given: Callable[..., Any], build: Callable[..., Any]) -> str:
    """Write leaky(x): a node that keeps what is positive, and shrinks what is negative to a tenth."""
    expect(callable(leaky), f"expected a function of a node, got {type(leaky).__name__}")
    x = given("x", (2, 3))
    node = leaky(x)
    expect(isinstance(node, type(x)), f"expected a Node, as relu gives one, got {type(node).__name__}")
    expect(node.shape == x.shape, f"each element stays where it is: expected the shape {x.shape}, got {node.shape}")
    expect(node.formula is not None, "the node has no formula: what is its element at a place?")
    expect(bool(node.inputs), "the node has no inputs, but its formula reads x")
    expect(node.reference is not None, "the node has no reference: how does NumPy compute it?")
    array = np.array([[-2, -1, 0], [0.5, 1, 40]], np.float32)
    right = np.where(array > 0, array, array * np.float32(0.1))
    got = build(node, {x: array}, {x, node})({})
    if np.allclose(got, np.maximum(array, 0)) and got.min() == 0:
        expect(False, "that is relu: what is negative became 0, not a tenth of what it was")
    expect(not np.allclose(got, right[::-1, ::-1]), "the elements are right, and in other places")
    for of, made, expected in np.stack([array, got, right], axis=-1).reshape(-1, 3).tolist():
        expect(abs(made - expected) < 1e-6, f"of {of:g} your formula makes {made:g}, expected {expected:g}")

    def reference(node: Any) -> Any:  # which may be made of several nodes
        return array if node is x else node.reference(*map(reference, node.inputs))

    expect(np.allclose(reference(node), right, atol=1e-6), "the formula is right, the reference says otherwise")
    return "a formula and a reference are all that a compiler needs to know of an operator"


@exercise
def ex2(answer: float, kernel: Any, loads: Loads) -> str:
    """How many elements does the first fused kernel load for one image?"""
    answer = number(answer)
    elements, each = prod(kernel.node.shape), [node for node, _ in loads(kernel.body)]
    right = sum(times for _, times in loads(kernel.body))
    window, rest = right // elements - (len(each) - 2), len(each) - 2
    slips = {
        right // elements: f"so many for each element, and there are {elements}",
        elements * window: f"that is the sum alone; outside of it, bias and norm load {rest} more for each element",
        elements * (window // 2 + rest): "a product has two factors: in the window a pixel is loaded, and a weight",
        elements * rest + window: f"the window is gone over again for each of the {elements} elements",
        elements
        * len(
            each
        ): f"two of these {len(each)} loads are in the loops over the window: they happen {window // 2} times",
        sum(
            prod(n.shape) for n in kernel.reads
        ): "there are so many elements; count how often one is loaded, again and again",
    }
    equals(answer, right, slips, f"{answer} is not it: loads of one element, times the {elements} elements")
    return f"{window} for the window, {rest} outside of it, {elements} times; only the window is worth a second thought"


@exercise
def ex3(
    rule: Callable[[Any, Any], bool], digit: Any, fuse: Callable[..., set[Any]], kernels: Kernels, loads: Loads
) -> str:
    """Write a rule that lets a node into its reader wherever each element is needed only once."""
    expect(callable(rule), f"expected a function rule(node, reader), got {type(rule).__name__}")

    def cost(chosen: Callable[[Any, Any], bool]) -> tuple[int, int]:
        made = kernels(digit, fuse(digit, chosen))
        return len(made), sum(times for k in made for _, times in loads(k.body))

    before, was = cost(lambda node, reader: node.shape == reader.shape)
    after, now = cost(rule)
    expect(after <= before, f"{after} kernels, and same_shape has {before}: your rule lets in less than it could")
    expect(
        now <= was,
        f"{after} kernels, but {now:,} loads in place of {was:,}: something is computed again for each reader's use",
    )
    expect(
        after < before, f"there are still {after} kernels, {before} with same_shape: maxpool reads each element once"
    )
    make, (source,) = type(digit), [n for n in fuse(digit, lambda *_: False) if n.op == "image"]
    node = make("node", [source], (4, 6), lambda y, x: source[0, y, x])
    turned = make("turned", [node], (6, 4), lambda y, x: node[x, y])
    expect(bool(rule(node, turned)), "rows that become columns are read once, too; your rule does not see it: count")
    tripled = make("tripled", [node], (4, 6), lambda y, x: node[y, x] + node[y, 0] + node[0, x])
    expect(
        not rule(node, tripled), "a reader of the same shape may read an element thrice, and your rule lets it: count"
    )
    return f"{after} kernels in place of {before}, and no element is computed twice; minicc's fusion asks the same"
