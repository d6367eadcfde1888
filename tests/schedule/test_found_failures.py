"""Schedules that the campaign of random schedules once found to be wrong, shrunk: they stay right."""

import pytest

from minicc.errors import ScheduleError
from minicc.testing.schedules import check, start

FOUND = {
    "a parallel body that only prefetches a buffer": ("elementwise", (5, 5), "llvm", """
        s.cache_read("C", "local")
        s.prefetch("C_local", "i_1", offset=4)
        s.cache_read("C_local", "local")
        s.parallel("i_1")"""),
    "an initialisation whose place in a tile is not that of its reduction": ("pooling", (4, 4), "python", """
        s.split("x_1", factor=2, tail="mask")
        s.bind("x_1_i", "threadIdx.x")
        s.reorder("x_1_i", "x_1_o")
        s.decompose_reduction("D", "x_1_o")"""),
    "an initialisation over fused loops in a parallel one": ("argmax", (3, 7), "python", """
        s.rfactor("M_v0", "k")
        s.fuse("i", "k")
        s.split("i_k_f", factor=16)
        s.parallel("i_k_f_o")
        s.decompose_reduction("M_v0_rf", "i_k_f_i")"""),
    "a producer under the same guard as the reduction that it feeds": ("conv2d", (7, 4), "python", """
        s.compute_at("pad", "kx")
        s.split("ky", factor=2, tail="mask")
        s.rfactor("conv", "ky_i", factor_axis=-1)"""),
    "a symbolic number of trips that turns out to be 0": ("elementwise", (5, 7), "python", """
        s.split("i_1", factor=32)
        s.partition_loop("i_1_o")
        s.partition_loop("i_1_o_tail")"""),
    "a condition that contradicts itself": ("conv2d", (3, 7), "python", """
        s.split("y", factor=4)
        s.partition_loop("y_i")"""),
    "a nest that prefetches what it fills moves": ("conv2d", (7, 3), "python", """
        s.prefetch("conv", "y_1", offset=4)
        s.compute_at("conv", "f_1")"""),
    "a prefetch outside of the loop that it is for": ("pooling", (5, 3), "python", """
        s.fuse("ky", "kx")
        s.rfactor("D", "ky_kx_f")
        s.prefetch("D_rf", "x_1", offset=4)
        s.compute_at("D_rf", "x_1_combine")"""),
    "a box around indices that are hard to compare": ("pooling", (7, 5), "python", """
        s.compute_inline("T")
        s.fuse("y_1", "x_1")
        s.split("y_1_x_1_f", factor=3)
        s.split("y_1_x_1_f_o", factor=2)
        s.cache_read("A", "local")
        s.compute_at("A_local", "y_1_x_1_f_o_o")"""),
}  # fmt: skip


@pytest.mark.parametrize("what", FOUND)
def test_found_failures_stay_repaired(what):
    workload, extents, stage, steps = FOUND[what]
    s = start(workload, extents)
    for step in steps.split("\n")[1:]:
        try:
            exec(step.strip(), {"s": s})
        except ScheduleError as refused:  # a repair, too
            assert refused.hint or refused.problem
            break
    check(s.program, workload, extents, stage)


def test_an_initialisation_that_another_thread_might_reduce_is_refused():
    s = start("pooling", (4, 4))
    s.split("x_1", factor=2)
    s.bind("x_1_i", "threadIdx.x")
    s.reorder("x_1_i", "x_1_o")
    with pytest.raises(ScheduleError, match=r"iterations of the threadIdx\.x loop x_1_i would depend on each other"):
        s.decompose_reduction("D", "x_1_o")
