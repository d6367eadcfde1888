"""Lines of code in a picture: whatever they hold, each is there, and indented as it was."""

import re

from minicc.explain.code import INDENT
from minicc.explain.draw_listing import CodeRow, listing


def places(picture):
    return [float(x) for x in re.findall(r'<text class="code" x="([\d.]+)"', picture.svg())]


def test_names_inject_nothing_and_are_whole():
    shown = listing("<b>", [CodeRow("<script>x</script>", "c1", '" onload="y')], [("c1", "<i>")])
    assert "<script>" not in shown.svg() and "&lt;script&gt;x&lt;/script&gt;" in shown.svg()
    assert shown.words == '<b>. 1 line: <script>x</script> (<i>: " onload="y).'


def test_lines_are_indented():
    first, second = places(listing("loop", [CodeRow("for.k:"), CodeRow("    br label %for.k")]))
    assert second - first == round(4 * INDENT, 1)


def test_a_long_line_is_wrapped_and_makes_room():
    short, long = (listing("t", [CodeRow("x " * n)]) for n in (4, 120))
    assert long.height > short.height and long.width < 900


def test_nothing():
    assert listing("nothing", []).words == "nothing. 0 lines: ."
