"""What is sent to another process arrives bit for bit; what is no frame is refused, and costs no memory."""

import json
import os
import threading
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicc.bridge.frames import DTYPES, LENGTH, MOST_HEADER, FrameError, Frames, pack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ARRAYS = st.dictionaries(
    st.text(),
    hnp.arrays(
        st.sampled_from([d for n, d in DTYPES.items() if n != "bfloat16"]), hnp.array_shapes(min_dims=0, min_side=0)
    ),
    max_size=3,
)


@pytest.fixture
def pipe():
    out, into = os.pipe()
    ends = {out, into}

    def close(end):
        ends.discard(end)
        os.close(end)

    yield Frames(into=out, out=into), close
    for end in ends:
        os.close(end)


def sent(data):
    """What is read where these bytes are written, and then nothing more."""
    out, into = os.pipe()
    thread = threading.Thread(target=lambda: (Frames(-1, into).write([data]), os.close(into)))
    thread.start()
    try:
        return Frames(out, -1).read(10)
    finally:
        os.close(out)
        thread.join()


def frame(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return LENGTH.pack(len(text)) + text + body


@given(JSON, ARRAYS)
def test_what_is_sent_arrives(message, arrays):
    got, results = sent(b"".join(pack(message, arrays)))
    assert repr(got) == repr(json.loads(json.dumps(message)))
    assert list(results) == list(arrays)
    for name, array in arrays.items():
        assert results[name].dtype == array.dtype and results[name].shape == array.shape
        assert results[name].tobytes() == array.tobytes() and results[name].flags.writeable


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_travels(dtype):
    for shape in ((), (0,), (2, 0, 3), (4, 2)):
        bits = np.arange(np.prod(shape, dtype=int) * DTYPES[dtype].itemsize, dtype=np.uint8) % (
            2 if dtype == "bool" else 251
        )
        array = bits.view(DTYPES[dtype]).reshape(shape)
        result = sent(b"".join(pack(None, {"x": array})))[1]["x"]
        assert (result.dtype, result.shape, result.tobytes()) == (array.dtype, shape, array.tobytes())


def test_views_travel_as_what_they_show():
    base = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    arrays = {"transposed": base.T, "strided": base[:, ::-2, 1:3], "fortran": np.asfortranarray(base), "scalar": np.float64(2.5),
              "broadcast": np.broadcast_to(np.float32(3), (2, 2)), "bits": base[0].astype(ml_dtypes.bfloat16).T}  # fmt: skip
    for name, result in sent(b"".join(pack(None, arrays)))[1].items():
        np.testing.assert_array_equal(result, arrays[name], strict=True)


@pytest.mark.parametrize("arrays, message", [
    ({"x": np.array([object()])}, None), ({"x": np.array(["text"])}, None), ({"x": np.zeros(2, ">f4")}, None), ({"x": np.complex64(1)}, None),
    ({3: np.zeros(2)}, None), ({}, {1, 2}), ({}, b"bytes"), ({}, object())])  # fmt: skip
def test_what_has_no_form_is_not_sent(arrays, message):
    with pytest.raises(FrameError, match="expected"):
        pack(message, arrays)


def test_a_message_that_is_too_large_is_not_sent(monkeypatch):
    monkeypatch.setattr("minicc.bridge.frames.MOST_HEADER", 100)
    with pytest.raises(FrameError, match="at most 100 bytes, got 10"):
        pack("x" * 100, {})


@pytest.mark.parametrize("data", [
    b"Traceback (most recent call last)", LENGTH.pack(MOST_HEADER + 1), frame(b"not json"), frame(b"\xff\xfe"), frame(7), frame([1, 2, 3]),
    frame(["m", [["x", "object", [1]]]], b"12345678"), frame(["m", [["x", "float32", [-1]]]]), frame(["m", [["x", "float32", [1.5]]]]),
    frame(["m", [["x", "float32", [True]]]]), frame(["m", [["x", "float32", [2**40, 2**40]]]]), frame(["m", [["x", "float32", 3]]]),
    frame(["m", [["x", "float32", [1] * 33]]]), frame(["m", [["x", ["float32"], [1]]]]), frame(b"[" * 10**5)])  # fmt: skip
def test_garbage_is_refused(data):
    with pytest.raises(FrameError, match="expected"):
        sent(data)


@pytest.mark.parametrize("data", [b"", b"123", LENGTH.pack(100) + b"[", frame(["m", [["x", "uint8", [2**35]]]], b"12")])
def test_a_frame_that_ends_early_takes_no_memory(data):
    """It says 32 GB: memory is taken for what arrives."""
    tracemalloc.start()
    with pytest.raises(EOFError):
        sent(data)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_frames_are_read_as_they_come(pipe):
    """Frames that come in pieces, and several at once."""
    stream, close = pipe
    large = np.arange(10**6)
    messages = [("", {}), (1, {"large": large}), ("text", {}), (None, {"x": np.float32([1, 2])})]
    thread = threading.Thread(target=lambda: [stream.write(pack(*message)) for message in messages])
    thread.start()
    got = [stream.read(10) for _ in messages]
    thread.join()
    assert [message for message, _ in got] == [message for message, _ in messages]
    np.testing.assert_array_equal(got[1][1]["large"], large)
    with pytest.raises(TimeoutError):
        stream.read(0.01)
    close(stream.out)
    with pytest.raises(EOFError):
        stream.read(10)


def test_nobody_reads(pipe):
    stream, close = pipe
    os.set_blocking(stream.out, False)
    with pytest.raises(TimeoutError):
        stream.write([bytes(2**20)], 0.01)
    close(stream.into)
    with pytest.raises(BrokenPipeError):
        stream.write([bytes(2**20)], 1)
