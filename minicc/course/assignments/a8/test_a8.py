"""The visible tests: `pytest -m task8_1`. The grader has other spaces and other workloads."""

import random

import pytest

import search
from workloads import blur, matmul

SPACE = {"rows": [1, 2, 4, 8], "depth": [2, 3, 5], "wide": [0, 1]}
TRIALS = 30


class Trials:
    """Costs by a function, and what was asked for."""

    def __init__(self, space, cost, budget):
        self.space, self.cost, self.budget, self.tried = space, cost, budget, []

    def __call__(self, point):
        assert len(self.tried) < self.budget, f"the budget of {self.budget} trials is spent"
        assert point.keys() == self.space.keys() and all(point[name] in self.space[name] for name in point), point
        self.tried.append(tuple(point[name] for name in self.space))
        return self.cost(point)


def steep(point):
    """A cost without two that are equal."""
    return 100 * abs(point["rows"] - 4) + 10 * abs(point["depth"] - 3) + point["wide"]


@pytest.mark.task8_1
@pytest.mark.parametrize("budget", [1, 10, 24, 30])
def test_random_search(budget):
    measure = Trials(SPACE, steep, budget)
    found = search.random_search(SPACE, measure, budget)
    assert len(measure.tried) == len(set(measure.tried)) == min(budget, 24)
    assert steep(found) == min(steep(dict(zip(SPACE, key, strict=True))) for key in measure.tried)
    assert budget < 10 or len({rows for rows, _, _ in measure.tried}) > 2, "these are no random points"


@pytest.mark.task8_2
def test_neighbours():
    found = search.neighbours(SPACE, {"rows": 2, "depth": 2, "wide": 0})
    in_order = sorted(tuple(point[name] for name in SPACE) for point in found)
    assert in_order == [(1, 2, 0), (2, 2, 1), (2, 3, 0), (4, 2, 0)]
    assert search.neighbours({"one": [7]}, {"one": 7}) == []


def beats_chance(workload):
    """Whether a search ends below random search with as many trials: below its mean, over draws from some of all points."""
    measure = Trials(workload.space, workload.cost, TRIALS)
    got = workload.cost(search.search(workload.space, measure, TRIALS))
    chance = random.Random(0)
    costs = [workload.cost(point) for point in chance.sample(workload.points(), 50)]
    by_chance = [min(chance.sample(costs, TRIALS)) for _ in range(1000)]
    return got < sum(by_chance) / len(by_chance)


@pytest.mark.task8_3
def test_search_on_a_product():
    assert beats_chance(matmul(8, 16, 8)), "random search is better, on average"


@pytest.mark.task8_4
def test_search_on_a_blur():
    assert beats_chance(blur(12, 16)), "random search is better, on average"
