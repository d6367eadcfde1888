"""pragma: notes on loops."""

from schedule_cases import chain, copied, every_move_keeps_the_meaning, message, the_example_holds, unchanged

from minicc.schedule.pragma import PragmaStep


def test_the_example_of_the_docstring():
    the_example_holds("pragma")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(PragmaStep) > 10


def test_notes_stay_on_the_loop():
    def steps(s):
        s.pragma("i", "unroll", 2)
        s.pragma("i", "region", "hot")
        s.pragma("i", "unroll", 4)
        s.reorder("j", "i")
        s.parallel("i")

    assert "for i in parallel(6):  # region=hot, unroll=4" in unchanged(copied(), steps)


def test_a_key_is_a_word():
    s = chain()
    assert (
        message(lambda: s.pragma("i", "not a word"))
        == """\
ScheduleError: pragma("i", "not a word", 1): expected a key that is a word, got 'not a word'
    T = empty((10,), float32)
    for i in range(10):
        ^ here
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
hint: letters, digits and _, as in s.pragma("i", "unroll", 4)"""
    )


def test_a_value_is_a_number_or_a_word():
    s = chain()
    assert (
        message(lambda: s.pragma("i", "unroll", True))
        == """\
ScheduleError: pragma("i", "unroll", true): expected a value that is a number or a word, got True
    T = empty((10,), float32)
    for i in range(10):
        ^ here
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
hint: an integer, or letters, digits and _, as in s.pragma("i", "unroll", 4)"""
    )
