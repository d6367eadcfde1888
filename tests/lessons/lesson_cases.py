"""How a lesson's program is checked: verified, run as Python, and run as machine code, against NumPy."""

import numpy as np

import minicc
from minicc.loop.python import run_python
from minicc.loop.verify import verify

RANDOM = np.random.default_rng(0)


def random(*shape, dtype="float32"):
    return RANDOM.random(shape).astype(dtype)


def check(s, args, inputs, expected, rtol=1e-5):
    """Every stage of the schedule `s` computes the arrays `expected` from `inputs`; gives back the built function."""
    program = minicc.lower(s, args)
    verify(program)
    interpreted = [np.empty_like(e) for e in expected]
    run_python(program, *inputs, *interpreted)
    built = [np.empty_like(e) for e in expected]
    f = minicc.build(s, args)
    f(*inputs, *built)
    for result in (interpreted, built):
        for got, e in zip(result, expected, strict=True):
            np.testing.assert_allclose(got, e, rtol=rtol, atol=1e-6)
    return f
