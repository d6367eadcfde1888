"""The visible tests: `pytest -m task2_1`. The grader has other shapes, dtypes and data."""

import numpy as np
import pytest

import operators
from minicc.errors import TypeInferenceError
from minicc.loop.python import run_python
from minicc.types import TensorType, boolean, float32, float64, int8, int32

X = np.array([[1.0, np.nan, 3.0], [0.5, np.inf, -2.0]], np.float32)
Y = np.array([1.5, 2.0, -1.0], np.float32)
A, B = np.array([[100, 1], [2, 3]], np.int8), np.array([[2, 4], [5, 6]], np.int8)
EXPECTED = {  # of each operator: attributes, inputs, and the result
    "Huber": [({}, (X, Y), [[0.125, np.nan, 3.5], [0.5, np.inf, 0.5]]), ({"delta": 2.0}, (Y, Y), [0, 0, 0])],
    "Interleave": [
        ({}, (A, B), [[100, 2, 1, 4], [2, 5, 3, 6]]),
        ({"axis": 0}, (A, B), [[100, 1], [2, 4], [2, 3], [5, 6]]),
        ({"axis": -2}, (A[:0], B[:0]), np.empty((0, 2))),
    ],
    "CircularCorrelation": [
        ({}, (A, B), [[-52, -110], [28, 27]]),  # 200 + 4 is -52 in int8
        ({}, (Y, Y), [7.25, -0.5, -0.5]),
        ({}, (Y[:0], Y[:0]), []),
    ],
}


def check(got, inputs, expected):
    """Whether an array is what is expected, of the dtype of the inputs."""
    assert got.dtype == inputs[0].dtype
    np.testing.assert_allclose(got, np.asarray(expected, got.dtype), rtol=1e-6)


def check_types(name, good, bad):
    attributes, inputs, expected = EXPECTED[name][0]
    types = [TensorType.of(a) for a in inputs]
    assert operators.infer(name, attributes, types) == TensorType(types[0].dtype, np.shape(expected))
    for given, inputs, expected in good:
        assert operators.infer(name, given, inputs).shape == expected
    for given, inputs in bad:
        with pytest.raises(TypeInferenceError):
            operators.infer(name, given, inputs)


def check_arrays(name):
    for attributes, inputs, expected in EXPECTED[name]:
        check(operators.reference(name, attributes, [a.copy() for a in inputs]), inputs, expected)


def check_programs(name):
    for attributes, inputs, expected in EXPECTED[name]:
        program = operators.program(name, attributes, [TensorType.of(a) for a in inputs])
        output = np.empty(np.shape(expected), inputs[0].dtype)
        run_python(program, *inputs, output)
        check(output, inputs, expected)


def of(dtype, *shape):
    return TensorType(dtype, shape)


@pytest.mark.task2_1
def test_type_of_huber():
    good = [({}, [of(float64, 2, 1), of(float64, 3)], (2, 3)), ({}, [of(float32), of(float32, 0)], (0,))]
    bad = [({}, [of(int32, 2)] * 2), ({}, [of(float32, 2), of(float64, 2)]), ({}, [of(float32, 2), of(float32, 3)])]
    check_types("Huber", good, [*bad, ({"delta": -1.0}, [of(float32, 2)] * 2)])


@pytest.mark.task2_2
def test_reference_of_huber():
    check_arrays("Huber")


@pytest.mark.task2_3
def test_expression_of_huber():
    check_programs("Huber")


@pytest.mark.task2_4
def test_type_of_interleave():
    good = [({"axis": 1}, [of(boolean, 2, 3, 4)] * 2, (2, 6, 4)), ({"axis": -3}, [of(int8, 0, 3, 4)] * 2, (0, 3, 4))]
    bad = [({}, [of(int8, 2), of(int32, 2)]), ({}, [of(int8, 2), of(int8, 3)]), ({}, [of(int8)] * 2)]
    check_types("Interleave", good, [*bad, ({"axis": 2}, [of(int8, 2, 2)] * 2)])


@pytest.mark.task2_5
def test_reference_of_interleave():
    check_arrays("Interleave")


@pytest.mark.task2_6
def test_expression_of_interleave():
    check_programs("Interleave")


@pytest.mark.task2_7
def test_type_of_circular_correlation():
    bad = [({}, [of(boolean, 2)] * 2), ({}, [of(int8)] * 2), ({}, [of(int8, 2), of(int8, 3)])]
    check_types("CircularCorrelation", [({}, [of(float32, 2, 0)] * 2, (2, 0))], bad)


@pytest.mark.task2_8
def test_reference_of_circular_correlation():
    check_arrays("CircularCorrelation")


@pytest.mark.task2_9
def test_expression_of_circular_correlation():
    check_programs("CircularCorrelation")
