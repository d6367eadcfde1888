"""The rewriting engine on a grammar of its own."""

import pytest

from minicc.errors import MiniccError
from minicc.ir.node import Interned, node
from minicc.ir.rewrite import Rule, Wild, fixpoint, indexed, match, rewrite


@node
class Leaf(Interned):
    name: str


@node
class Pair(Interned):
    op: str
    left: Interned
    right: Interned


@node
class Hole(Wild):
    name: str


def children(n):
    return (n.left, n.right) if isinstance(n, Pair) else ()


def rebuild(n, parts):
    return Pair(n.op, *parts) if isinstance(n, Pair) else n


a, b, x, y, z = Leaf("a"), Leaf("b"), Hole("x"), Hole("y"), Hole("z")
SAME = Rule("same", Pair("+", x, x), x)  # x + x -> x
LEFT = Rule("to the left", Pair("+", x, Pair("+", y, z)), Pair("+", Pair("+", x, y), z))  # x+(y+z) -> x+y+z


def test_a_hole_that_occurs_twice_is_one_node():
    bindings = {}
    assert match(Pair("+", x, x), Pair("+", a, a), bindings) and bindings == {"x": a}
    assert not match(Pair("+", x, x), Pair("+", a, b), {})


def test_rules_apply_until_none_matches():
    tree = Pair("+", Pair("+", a, a), Pair("+", a, Pair("+", b, b)))
    assert rewrite(tree, (SAME,), children, rebuild) is Pair("+", a, Pair("+", a, b))
    assert rewrite(tree, (SAME, LEFT), children, rebuild) is Pair("+", a, b)


def test_rules_that_go_in_a_circle_are_told():
    turn = Rule("turn", Pair("+", x, y), Pair("+", y, x))
    with pytest.raises(MiniccError, match="rules that make progress"):
        rewrite(Pair("+", a, b), (turn,), children, rebuild)


def test_where_decides_and_right_sides_may_compute():
    rule = Rule("only a", Pair("+", x, y), lambda x, y: y, lambda x: x is a)
    assert rule.apply(Pair("+", a, b)) is b
    assert rule.apply(Pair("+", b, a)) is None
    assert rule.apply(Pair("*", a, b)) is None


def test_the_first_of_several_rules_wins():
    first, second = Rule("1", Pair("+", x, y), x), Rule("2", Pair("+", x, y), y)
    assert indexed((first, second))(Pair("+", a, b)) is a
    assert indexed((second, first))(Pair("+", a, b)) is b
    assert indexed((first,))(a) is None


@pytest.mark.parametrize("depth", [5_000])
def test_deep_trees_need_no_stack(depth):
    deep = a
    for _ in range(depth):
        deep = Pair("+", deep, deep)  # 2**5000 paths, 5000 nodes
    assert rewrite(deep, (SAME,), children, rebuild) is a


def test_nothing_to_do_gives_the_same_object():
    tree = Pair("*", a, Pair("+", a, b))
    assert rewrite(tree, (SAME,), children, rebuild) is tree


def test_results_are_shared_between_calls():
    done = {}
    fixpoint(Pair("+", a, a), indexed((SAME,)), children, rebuild, done)
    assert done[Pair("+", a, a)] is a
