"""Searches for good choices, with a fixed number of trials.

- A *space* is a dict: for each choice, by its name, the list of its options, numbers in rising order.
- A *point* is a dict with an option for each choice.
- `measure(point)` says what the point costs, and is one *trial*, even of a point that was measured before. After `budget` trials it
  raises an error.

A search returns the best point that it has found. Its randomness has a seed of its own, so that it does the same each time.
"""

import itertools
import random

from minicc.course import Task


def points(space):
    """All points of a space."""
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def random_search(space, measure, budget):
    """8.1 Measure `budget` points that are drawn at random, none twice, or all if there are fewer. Returns the best of them."""
    # solution 8.1: draw points without repeating one, measure each, keep the best
    everything = points(space)
    drawn = random.Random(1).sample(everything, min(budget, len(everything)))
    return min(drawn, key=measure)
    # end


def neighbours(space, point):
    """8.2 A list of the points that differ from `point` in one choice, by one place in the list of its options."""
    # solution 8.2: a step up and a step down for each choice, where there are such options
    found = []
    for name, options in space.items():
        at = options.index(point[name])
        found += [{**point, name: options[n]} for n in (at - 1, at + 1) if 0 <= n < len(options)]
    return found
    # end


def search(space, measure, budget):
    """8.3 and 8.4 Spend `budget` trials so that the point which comes back costs little. There are a hundred points or more.

    Judged is how much of the gap between random search, with as many trials, and the best point of all is closed, on average over
    spaces that you have not seen, whose choices have other names. Half of it earns all points, a fifth none: luck brings that much.
    """
    # solution 8.3: spend the trials where they tell most
    chance, costs, unseen = random.Random(2), {}, {}

    def try_point(point):
        costs[tuple(point.values())] = measure(point)

    everything = points(space)
    chance.shuffle(everything)
    for point in everything[: min(8, budget)]:
        try_point(point)
    while len(costs) < min(budget, len(everything)):
        for known in sorted(costs, key=costs.get):
            around = neighbours(space, dict(zip(space, known, strict=True)))
            unseen = [point for point in around if tuple(point.values()) not in costs]
            if unseen:
                break
        try_point(chance.choice(unseen or [p for p in everything if tuple(p.values()) not in costs]))
    return dict(zip(space, min(costs, key=costs.get), strict=True))
    # end
