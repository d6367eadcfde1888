"""The judge of A8: it measures what is asked, counts the trials, and knows what every point of a space costs."""

import math
from functools import cache, partial

from minicc.course.assignments.a8.workloads import blur, matmul, turned_product
from minicc.course.judging import Failed, Judgment, Unequal, equal, judged
from minicc.errors import plain_lines

FILE = "search.py"
BUDGET = 30
RUNS = 32  # of a space, each time with other names, in another order, without some options
LUCK, ENOUGH = 0.2, 0.5  # of the gap between random search and the best point: what earns nothing, and what all points
WORST = -1.0  # a run that fails, or ends far above random search
FAMILIES = {
    "8.3": [(matmul, sizes) for sizes in ((12, 24, 16), (12, 32, 8), (24, 16, 8), (16, 24, 12))],
    "8.4": [(blur, (24, 24)), (blur, (12, 36)), (blur, (30, 16)), (turned_product, (12, 24, 16)), (turned_product, (16, 16, 24))],
}  # fmt: skip
WORDS = ("anna", "ben", "cleo", "dora", "emil", "finn", "gus", "hana")


class Measure:
    """What a search may call: it says what a point costs, so many times."""

    def __init__(self, space, costs, budget):
        self.space, self.costs, self.budget, self.tried = space, costs, budget, []

    def __call__(self, point):
        if len(self.tried) >= self.budget:
            raise RuntimeError(f"the budget of {self.budget} trials is spent")
        self.tried.append(self.key(point))
        return self.costs[self.tried[-1]]

    def key(self, point):
        """The options of a point in the order of the space. Raises ValueError for what is no point."""
        if not isinstance(point, dict) or point.keys() != self.space.keys():
            raise ValueError(f"expected an option for each of {', '.join(self.space)}, got {str(point)[:80]}")
        key = tuple(point[name] for name in self.space)
        if key not in self.costs:
            raise ValueError(f"expected options of the space, got {str(point)[:80]}")
        return key

    def found(self, point):
        """The key of a point that a search returned. Raises Unequal."""
        try:
            return self.key(point)
        except (TypeError, ValueError) as error:
            raise Unequal(f"expected a point, {error}") from None


def spaces(draw):
    """Spaces of numbers that nothing stands behind, small ones first, each with a cost for every point."""
    for lengths in ((1,), (3,), (4, 3), (6, 6), (5, 4, 6)):
        space = {
            name: sorted(draw.sample(range(1, 65), n))
            for name, n in zip(draw.sample(WORDS, len(lengths)), lengths, strict=True)
        }
        keys = [()]
        for options in space.values():
            keys = [(*key, option) for key in keys for option in options]
        yield space, dict(zip(keys, draw.sample(range(1000), len(keys)), strict=True))


def task8_1(answers, draw):
    for space, costs in spaces(draw):
        for budget in {1, 12, len(costs) + 3}:
            called = f"random_search of {' x '.join(str(len(o)) for o in space.values())} points, {budget} trials"
            yield judged(called, partial(searches_at_random, answers, space, costs, budget))


def searches_at_random(answers, space, costs, budget):
    measure = Measure(space, costs, budget)
    found = measure.found(answers.call(FILE, "random_search", space, measure, budget))
    equal(f"{len(measure.tried)} trials", f"{min(budget, len(costs))} trials")
    equal(f"{len(set(measure.tried))} different ones", f"{len(measure.tried)} different ones")
    equal(costs[found], min(map(costs.get, measure.tried)))
    for (name, options), tried in zip(space.items(), zip(*measure.tried, strict=True), strict=True):
        if budget > 1 and len(set(tried)) < len(options) / 2:
            raise Unequal(f"expected random points, got {len(set(tried))} of {len(options)} options of {name}")


def task8_2(answers, draw):
    for space, costs in spaces(draw):
        at = draw.choice(list(costs))
        yield judged(f"neighbours of {at} in {list(space.values())}", partial(is_around, answers, space, at))


def is_around(answers, space, at):
    point = dict(zip(space, at, strict=True))
    expected = [
        {**point, name: option}
        for name, options in space.items()
        for option in options
        if abs(options.index(option) - options.index(point[name])) == 1
    ]
    got = answers.call(FILE, "neighbours", space, point)
    if not isinstance(got, list) or not all(isinstance(each, dict) for each in got):
        raise Unequal(f"expected a list of dicts, got {str(got)[:80]}")
    in_order = partial(sorted, key=lambda each: sorted(map(str, each.items())))
    equal(in_order(got), in_order(expected))


@cache
def known(make, sizes):
    """The space of a workload, and what each of its points costs."""
    workload = make(*sizes)
    return workload.name, workload.space, {tuple(p.values()): workload.cost(p) for p in workload.points()}


def expected_at_random(costs, trials):
    """The expected least cost of so many different points that are drawn at random."""
    ranked, n = sorted(costs), len(costs)
    return sum(cost * math.comb(n - 1 - at, trials - 1) for at, cost in enumerate(ranked)) / math.comb(n, trials)


def on_workloads(task, answers, draw):
    """One judgment of all runs on the workloads that are drawn: how much of the gap is closed, on average."""
    means = {}
    for make, sizes in draw.sample(FAMILIES[task], 3):
        spaces = [disguised(make, sizes, draw) for _ in range(RUNS)]
        try:
            gaps = [gap(answers, space, costs) for space, costs in spaces]
        except (Failed, Unequal) as problem:
            yield Judgment(f"search in {known(make, sizes)[0]}", 0.0, plain_lines(problem))
            return
        means[known(make, sizes)[0]] = sum(gaps) / RUNS
    closed = sum(means.values()) / len(means)
    share = (closed - LUCK) / (ENOUGH - LUCK)
    said = ", ".join(f"{mean:.0%} in {name}" for name, mean in means.items())
    problem = f"expected {ENOUGH:.0%} of the gap to the best point closed on average, got {said}" if share < 1 else ""
    yield Judgment("search in spaces that it has not seen", min(1.0, max(0.0, share)), problem, figure=closed)


def disguised(make, sizes, draw):
    """The space with other names in another order, without an option or two, and what its points cost."""
    _, space, costs = known(make, sizes)
    order = draw.sample(range(len(space)), len(space))
    every = list(space.values())
    left = [sorted(draw.sample(every[n], len(every[n]) - (len(every[n]) > 4))) for n in order]
    names = draw.sample(WORDS, len(space))
    turned = {tuple(key[n] for n in order): cost for key, cost in costs.items()}
    inside = {
        key: cost for key, cost in turned.items() if all(v in options for v, options in zip(key, left, strict=True))
    }
    return dict(zip(names, left, strict=True)), inside


def gap(answers, space, costs):
    """Which part of the gap between random search and the best point a run closes: 1 is the best, 0 no better than chance."""
    measure = Measure(space, costs, BUDGET)
    answers.close()  # or a search could remember the workload by its numbers
    got = costs[measure.found(answers.call(FILE, "search", space, measure, BUDGET))]
    chance, best = expected_at_random(costs.values(), BUDGET), min(costs.values())
    return max(WORST, (chance - got) / (chance - best))


task8_3, task8_4 = partial(on_workloads, "8.3"), partial(on_workloads, "8.4")
