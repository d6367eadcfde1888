"""set_scope: buffers move to another kind of memory."""

from schedule_cases import chain, every_move_keeps_the_meaning, message, the_example_holds, unchanged

from minicc.schedule.set_scope import SetScopeStep


def test_the_example_of_the_docstring():
    the_example_holds("set_scope")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(SetScopeStep) > 5


def test_scopes_are_printed():
    assert "T = empty((10,), float32)  # shared" in unchanged(chain(), lambda s: s.set_scope("T", "shared"))


def test_outputs_stay():
    s = chain()
    assert (
        message(lambda: s.set_scope("D", "local"))
        == """\
ScheduleError: set_scope("D", "local"): D is an output of the program
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
        ^ here
hint: only a buffer inside of the program can be moved"""
    )


def test_an_unknown_scope():
    s = chain()
    assert (
        message(lambda: s.set_scope("T", "far"))
        == """\
ScheduleError: set_scope("T", "far"): expected a scope, got 'far'
    T = empty((10,), float32)
    ^ here
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
hint: one of local, shared, global"""
    )
