"""The memory plan: tensors alive together are apart, and the arena is not wasteful."""

from hypothesis import given, settings
from hypothesis import strategies as st

from minicc.runtime.plan import ALIGNMENT, Lifetime, plan

lifetimes = st.lists(
    st.builds(
        lambda size, first, length: Lifetime(size, first, first + length),
        st.integers(0, 1000),
        st.integers(0, 12),
        st.integers(0, 6),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(lifetimes)
def test_what_lives_together_is_apart(lives: list[Lifetime]) -> None:
    made = plan(lives)
    rooms = [-(-life.size // ALIGNMENT) * ALIGNMENT for life in lives]
    assert len(made.offsets) == len(lives)
    assert made.size <= sum(rooms)
    assert made.size >= max(
        (sum(r for r, life in zip(rooms, lives, strict=True) if life.first <= t <= life.last) for t in range(20)),
        default=0,
    )
    for n, (a, start, room) in enumerate(zip(lives, made.offsets, rooms, strict=True)):
        assert start % ALIGNMENT == 0 and start + room <= made.size
        for m in range(n):
            b = lives[m]
            if a.first <= b.last and b.first <= a.last:
                assert start + room <= made.offsets[m] or made.offsets[m] + rooms[m] <= start


def test_a_chain_needs_room_for_two() -> None:
    chain = [Lifetime(1024, n, n + 1) for n in range(100)]
    assert plan(chain).size == 2048


def test_nothing_needs_nothing() -> None:
    assert plan([]).size == 0 and plan([Lifetime(0, 0, 3)]).size == 0
