"""The peak is that of fused multiply-adds, where a processor has them."""

from __future__ import annotations

import numpy as np
import pytest

from minicc.runtime import roofline
from minicc.runtime.roofline import CHAINS, TINY, _executable, peak_program
from minicc.target import Target
from minicc.types import float32


@pytest.mark.parametrize("name", ["haswell", "skylake-avx512"])
def test_the_loop_of_the_peak_is_one_instruction_a_chain(name):
    target = Target.of(name)
    text = _executable(peak_program(target.lanes(float32)), target).kernels[0].stages["asm"]
    assert text.count("vfmadd") == CHAINS and "vmulps" not in text and "rsp)" not in text


def test_the_numbers_stay_what_they_are():
    x = np.float32(TINY)
    assert x + x * x == x and x > np.finfo(np.float32).smallest_normal


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_thread_computes_the_peak(threads, monkeypatch):
    monkeypatch.setattr(roofline, "STEPS", 10)
    target = Target.native().with_threads(threads)
    x = np.ones((CHAINS, target.lanes(float32)), np.float32)
    (y,) = _executable(peak_program(target.lanes(float32), threads), target)(x)
    assert y.shape[0] == threads and (y == 2.0**10).all()
