"""Pictures of graphs: every edge goes down, and nothing stands on something else."""

import random
from itertools import pairwise

import pytest

from minicc.explain.layered import NARROW, place

WIDTH, GAP = 100.0, 20.0


def random_graph(seed):
    source = random.Random(seed)
    count = source.randint(1, 40)
    edges = {(source.randint(max(0, b - 8), b - 1), b) for b in range(1, count) for _ in range(source.randint(0, 3))}
    return list(range(count)), sorted(edges)


@pytest.mark.parametrize("seed", range(30))
def test_edges_go_down_and_nothing_overlaps(seed):
    nodes, edges = random_graph(seed)
    made = place(nodes, edges, WIDTH, GAP)
    assert set(made.x) == set(made.layer) == set(nodes) and set(made.between) == set(edges)
    rows = {}
    for n in nodes:
        rows.setdefault(made.layer[n], set()).add((made.x[n], WIDTH))
    for (a, b), passed in made.between.items():
        assert made.layer[a] < made.layer[b]
        assert [k for _, k in passed] == list(range(made.layer[a] + 1, made.layer[b]))
        for x, k in passed:
            rows[k].add((x, NARROW * WIDTH))
    assert set(rows) <= set(range(made.layers))
    for row in rows.values():
        items = sorted(row)
        for (x, wide), (y, broad) in pairwise(items):
            assert y - x >= (wide + broad) / 2 + GAP - 1e-6
        assert made.left <= items[0][0] and items[-1][0] <= made.right


@pytest.mark.parametrize("seed", range(10))
def test_no_layer_is_wider_than_the_room(seed):
    nodes, edges = random_graph(seed)
    widths = {n: WIDTH / (1 + n % 3) for n in nodes}
    made = place(nodes, edges, widths, GAP, room=2 * WIDTH + GAP, narrow=4)
    for k in range(made.layers):
        row = [widths[n] for n in nodes if made.layer[n] == k]
        assert row and sum(row) + GAP * (len(row) - 1) <= 2 * WIDTH + GAP
    assert all(made.layer[a] < made.layer[b] for a, b in edges)


def test_a_chain_is_straight_and_a_branch_is_symmetric():
    chain = place("abc", [("a", "b"), ("b", "c")], WIDTH, GAP)
    assert set(chain.x.values()) == {0.0} and chain.layers == 3
    branch = place("abcd", [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")], WIDTH, GAP)
    assert abs(branch.x["b"] - branch.x["c"]) == WIDTH + GAP
    assert branch.x["a"] == pytest.approx((branch.x["b"] + branch.x["c"]) / 2) == branch.x["d"]


def test_sources_stand_right_above_their_readers():
    made = place("axyb", [("a", "x"), ("x", "y")], WIDTH, GAP)
    assert made.layer == {"a": 0, "x": 1, "y": 2, "b": 0}
    late = place("axby", [("a", "x"), ("x", "y"), ("b", "y")], WIDTH, GAP)
    assert late.layer["b"] == 1


def test_nothing_is_placed():
    assert place([], [], WIDTH, GAP).layers == 0
