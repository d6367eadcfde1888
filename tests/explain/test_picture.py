"""The kit of all pictures: colours that colour-blind readers tell apart, words that can be read, names that inject nothing."""

import itertools
import re
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc.errors import ConfigError
from minicc.explain.page import Pictures, data, figure, page, section, table
from minicc.schedule.examples import doubled
from minicc.explain.picture import AMOUNTS, DARK, KINDS, LIGHT, Picture, arrow, circle, group, legend, rect, text

SVG = "{http://www.w3.org/2000/svg}"
SEEN = {  # linear RGB as these readers see it. Source: Machado, Oliveira and Fernandes 2009, severity 1
    "by most": np.eye(3),
    "without red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "without green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]),
    "without blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]),
}  # fmt: skip
XYZ = np.array([[0.4124564, 0.3575761, 0.180437], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])
WHITE = np.array([0.95047, 1, 1.08883])


def linear(colour):
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    xyz = np.clip(rgb, 0, 1) @ XYZ.T / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a, b):
    low, high = sorted(float(linear(c) @ XYZ[1]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_kinds_differ_for_every_reader(colours, seen):
    """By at least 12 in CIELAB, where 2.3 is what is just noticed; and amounts are ordered by their lightness."""
    places = [lab(SEEN[seen] @ linear(colours[k])) for k in KINDS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(places, 2)) > 12
    steps = np.diff([lab(SEEN[seen] @ linear(colours[k]))[0] for k in AMOUNTS])
    assert (np.abs(steps) > 3).all() and len(set(np.sign(steps))) == 1


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_words_can_be_read_on_every_kind(colours):
    """The contrast that WCAG 2.2 asks for."""
    assert min(contrast(colours["ink"], colours[k]) for k in ("paper", "soft", *KINDS)) >= 4.5
    assert min(contrast(colours[k], colours[p]) for k in ("muted", "strong") for p in ("paper", "soft")) >= 4.5


NAMES = st.text(max_size=30) | st.sampled_from(
    ["<script>alert(1)</script>", "\x1b[31m\x00", "'\"/>", "</style>", "]]>", "\ud800", "&amp;"]
)


@given(NAMES)
def test_words_are_words_whatever_they_are(name):
    shapes = [
        text(1, 2, name, name),
        rect(1, 2, 3, 4, hover=name),
        circle(1, 2, 3, hover=name),
        group([arrow([(1, 2), (3, 4)], hover=name)], name, id=name),
    ]
    shapes += legend(0, 0, [("c1", name)])[0]
    made = Picture(name, name, 100, 100, shapes)
    tree = xml.fromstring(made.svg().encode("utf-8"))
    assert {e.tag.removeprefix(SVG) for e in tree.iter()} == {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "circle",
        "g",
        "polyline",
        "path",
        "text",
    }
    assert tree.find(f"{SVG}title") is not None and tree.find(f"{SVG}desc") is not None
    whole = page(name, section(name, figure(made, name)), table([name], [[name]]), data("d", {name: name}), lead=name)
    assert len(re.findall("<script", whole)) == 1 and "<script>" not in whole
    assert Pictures(name, name, [(name, made)]).page().count("<svg ") == 1


def test_a_long_name_leaves_room_for_the_page():
    """Headings are cut, and break where there is no space."""
    name = "a_name_of_a_model" * 1000
    whole = page(name, section(name, "there"))
    assert max(map(len, re.findall(r"<(?:h1|summary)>([^<]*)", whole))) < 300 and "overflow-wrap: anywhere" in whole


def test_a_legend_takes_the_room_that_there_is():
    entries = [("c1", "one kind of things"), ("c2", "another kind of things"), ("c3", "a third")]
    _, one = legend(0, 0, entries)
    shapes, three = legend(0, 0, entries, room=200)
    assert one == 14 and three == 54 and len(shapes) == 6


def test_a_picture_is_saved_under_a_name_that_says_what_it_is(tmp_path):
    made = Picture("dot", "A dot.", 10, 10, [circle(5, 5, 2)])
    made.save(tmp_path / "dot.svg")
    assert (tmp_path / "dot.svg").read_text() == made.svg() == made._repr_svg_()
    Pictures("dots", "Dots.", [("one", made)]).save(tmp_path / "dots.html")
    assert "<summary>one</summary>" in (tmp_path / "dots.html").read_text()
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.svg or \.png, got 'dot\.pdf'"):
        made.save(tmp_path / "dot.pdf")
    with pytest.raises(
        ConfigError, match=r"expected a name that ends in \.svg or \.html or \.png or \.pdf, got 'dot\.gif'"
    ):
        Pictures("dots", "Dots.", []).save(tmp_path / "dot.gif")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"kinds": 1}, "unexpected keyword"), ({"kind": "nest", "sizes": {}}, "unexpected keyword"), ({"kind": 2.5}, "another kind of kind"),
     ({"kind": "heat", "caches": [3]}, "another kind of caches"), ({"kind": "visits", "sizes": 2.5}, "another kind of sizes")],
)  # fmt: skip
def test_options_that_a_picture_has_not(options, said):
    with pytest.raises(ConfigError, match=said) as error:
        doubled(4).program.picture(**options)
    assert "picture(" in error.value.where and error.value.hint


def test_a_page_runs_the_script_that_it_was_made_with_and_no_other():
    """The policy has its hash, as `printf %s 'go()' | openssl dgst -sha256 -binary | base64` gives it, and else allows nothing."""
    for script, allowed in (("", "'none'"), ("go()", "'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw='")):
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page("title", script=script))
        assert policy.startswith("default-src 'none';") and policy.endswith(f" script-src {allowed}")
        assert "connect-src" not in policy
