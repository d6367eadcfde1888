"""Which code of an image runs on which device, and the memory that launches need."""

import pytest
from gpu_cases import add_image
from hypothesis import given
from hypothesis import strategies as st

from minicc.device.architectures import capability_of, code_for
from minicc.device.launches import Launch, Launches, Storage
from minicc.errors import BridgeError
from minicc.target import Target
from minicc.types import TensorType, float32
import itertools


def test_the_code_for_a_device():
    image = add_image(sm_80=b"80", sm_86=b"86", sm_90a=b"90a", sm_90=b"90", compute_80=b"ptx")
    assert code_for(image, (8, 0)) == ("sm_80", b"80")
    assert code_for(image, (8, 9)) == ("sm_86", b"86")
    assert code_for(image, (9, 0)) == ("sm_90a", b"90a")
    assert code_for(image, (10, 0)) == ("sm_80", b"ptx\0")
    said = r"expected code for sm_75, got that for other architectures: sm_80, sm_86, .*PTX of sm_80[\s\S]*--arch sm_75"
    with pytest.raises(BridgeError, match=said):
        code_for(image, (7, 5))
    with pytest.raises(BridgeError, match="source only"):
        code_for(add_image(), (9, 0))


def test_names_of_architectures():
    assert capability_of("sm_100a") == (10, 0) and capability_of("sm_75") == (7, 5)
    with pytest.raises(BridgeError, match="expected a name such as sm_90, got 'hopper'"):
        capability_of("hopper")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 12), st.integers(0, 5)), max_size=12))
def test_values_that_live_together_do_not_share(values):
    """A launch a step, over what lives then; no two of these overlap in the arena."""
    stores = [Storage(TensorType(float32, (size,))) for size, _, _ in values]
    alive = [
        [s for s, (_, born, more) in zip(stores, values, strict=True) if born <= step <= born + more]
        for step in range(18)
    ]
    made = Launches()
    for held in alive:
        names = {str(k): s for k, s in enumerate(held)}
        made.call("k", [Launch("k", tuple(names), (1, 1, 1), (1, 1, 1))], names)
    image = made.image("m", Target.of("cuda"), b"")
    for kernel, held in zip(image.kernels, alive, strict=True):
        used = [image.buffers[a] for a in kernel.launches[0].arguments]
        assert [b.size for b in used] == [s.type.bytes for s in held]
        for a, b in zip(sorted(used, key=lambda b: b.offset), sorted(used, key=lambda b: b.offset)[1:], strict=False):
            assert a.offset + a.size <= b.offset or not a.size or not b.size
    assert all(b.offset + b.size <= image.arena and b.offset % 256 == 0 for b in image.buffers)
    assert [(b.offset, b.size) for b in image.buffers] == [
        (at, life.size) for life, at in zip(image.memory.lifetimes, image.memory.offsets, strict=True)
    ]


def test_a_chain_needs_two_buffers():
    stores = [Storage(TensorType(float32, (64,))) for _ in range(10)]
    made = Launches()
    for a, b in itertools.pairwise(stores):
        made.call("k", [Launch("k", ("a", "b"), (1, 1, 1), (1, 1, 1))], {"a": a, "b": b})
    made.outputs.append(("y", stores[-1]))
    image = made.image("m", Target.of("cuda"), b"")
    assert image.arena == image.memory.size == 512
    assert [life.name for life in image.memory.lifetimes] == ["k"] * 9 + ["y"]
