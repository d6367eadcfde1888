"""Eleven loop puzzles. Each function gets a loop program, schedules it, and returns its trace: the steps that were done.

What counts is what the program costs afterwards, as `programs.costs` has it, at sizes that you do not know: use the names of
loops, and no number that only fits the sizes of the examples. `print(s.program)` shows the program as it is, `s.counts()` what it
costs, `s.moves()` all that may be done next. No step can change what is computed.
"""

from minicc.course import Task
from minicc.schedule import Schedule


def along_rows(program):
    """1.1 S[j] adds up column j of A, from top to bottom: each read is in another cache line than the one before.

    Goal: every line of A misses once. Primitive: reorder.
    """
    s = Schedule(program)
    # solution 1.1: put the loops into another order
    s.reorder("i", "j")
    # end
    return s.trace


def in_tiles(program):
    """1.2 T is A turned around. Whatever the order of i and j, one of the two is walked through by columns.

    Goal: every line of A and of T misses once. The cache has 32 lines, each of 16 elements. Primitives: split, reorder (or s.tile).
    """
    s = Schedule(program)
    # solution 1.2: visit T in tiles whose lines fit the cache together
    s.tile("i", "j", 16, 16)
    # end
    return s.trace


def whole_vectors(program):
    """1.3 B is A doubled; a row is no multiple of 8 long, though all elements together are.

    Goal: as many rounds as there are vectors of 8 elements in B, and no condition is asked. Primitives: fuse, split, vectorize.
    """
    s = Schedule(program)
    # solution 1.3: make one long loop, and vectors of it
    inner = s.split(s.fuse("i", "j"), factor=8)[1]
    s.vectorize(inner)
    # end
    return s.trace


def calm_middle(program):
    """1.4 B[i] adds A[i] and its two neighbours; beyond the ends, there is 0. Two conditions are asked for each element.

    Goal: no condition is asked any more. Primitive: partition_loop.
    """
    s = Schedule(program)
    # solution 1.4: cut the loop where the conditions begin to hold, and where they cease to
    s.partition_loop("i")
    # end
    return s.trace


def ask_once(program):
    """1.5 B is A with a row of zeros above and one below. For each element of a row the same condition is asked.

    Goal: two questions for each row, is it inside, is it outside. Primitive: unswitch.
    """
    s = Schedule(program)
    # solution 1.5: ask before the loop over a row
    s.unswitch("j")
    # end
    return s.trace


def few_rows(program):
    """1.6 A is blurred: X adds up three neighbours in a row, B three rows of X. All of X is kept.

    Goal: keep at most 6 rows of X at a time, and do at most half as many additions for X again. Primitives: split, reorder, compute_at.
    """
    s = Schedule(program)
    # solution 1.6: compute what some rows of B need of X right before them
    outer, _ = s.split("i", factor=4)
    s.compute_at("X", outer)
    # end
    return s.trace


def nothing_between(program):
    """1.7 E[i, j] is exp(A[i, j] - M[i]), where M is the greatest element of a row. The differences are stored in D, and read again.

    Goal: only M is kept between. Primitive: compute_inline.
    """
    s = Schedule(program)
    # solution 1.7: let the exponential compute the difference itself
    s.compute_inline("D")
    # end
    return s.trace


def read_once(program):
    """1.8 C is the product of A and B. B is read from memory once for each row of A.

    Goal: each element of B is read from memory once, in all; room for one column of B (scope local, which is registers) is enough.
    Primitives: reorder, cache_read, compute_at.
    """
    s = Schedule(program)
    # solution 1.8: copy a column of B, and use it for all rows of A
    s.reorder("j", "i", "k")
    column = s.cache_read("B", "local")
    s.compute_at(column, "j")
    # end
    return s.trace


def in_a_register(program):
    """1.9 S[i] is the sum of row i. It is loaded from memory and stored again for every element of the row.

    Goal: nothing but A is loaded, and each element of S is stored once; one register is enough. Primitives: cache_write, compute_at.
    """
    s = Schedule(program)
    # solution 1.9: add up in a buffer of scope local, and store its sum
    total = s.cache_write("S", "local")
    (copy,) = s.loops_of("S")
    s.compute_at(total, copy)
    # end
    return s.trace


def eight_sums(program):
    """1.10 The same sum of a row. The loop over k cannot be vectorized: each addition needs the one before.

    Goal: 8 sums grow at once, one in each lane; a round for each 8 elements, and what it takes to combine them. A
    vector across rows does not get there: there are fewer rows than lanes.
    Primitives: split, rfactor, reorder, vectorize, compute_at.
    """
    s = Schedule(program)
    # solution 1.10: eight partial sums in the lanes of a vector, which are added up at the end
    _, lane = s.split("k", factor=8)
    s.rfactor("S", lane, -1)
    s.vectorize(lane)
    # end
    return s.trace


def register_tile(program):
    """1.11 A product once more, and now all that you know.

    Goal: 4 x 4 sums in registers (scope local), with 4 elements of A and 4 of B beside them: 24 in all. Each element of A is loaded
    from memory once for 4 columns of C, each of B once for 4 rows, and C is only stored.
    Primitives: split, reorder, cache_write, cache_read, compute_at.
    """
    s = Schedule(program)
    # solution 1.11: a tile of sums that stays in registers along k
    sums = s.cache_write("C", "local")
    i, j = s.loops_of("C")
    _, columns, _, _ = s.tile(i, j, 4, 4)
    s.compute_at(sums, columns)
    row, column, k = s.loops_of(sums)[2:]
    s.reorder(k, row, column)
    for operand in ("A", "B"):
        s.compute_at(s.cache_read(operand, "local"), k)
    # end
    return s.trace
