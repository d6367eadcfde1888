"""PNGs of pages and pictures: as wide as asked, all of them, in the reader's colours; and what is said where no browser makes them."""

import struct
import zlib

import numpy as np
import pytest

from minicc.errors import ConfigError, RunError
from minicc.explain import browser
from minicc.explain.page import Pictures, figure, page, section
from minicc.explain.picture import DARK, LIGHT, Picture, circle, rect

DOT = Picture("dot", "A dot.", 300, 120, [circle(5, 5, 2), rect(100, 20, 100, 50, "c1")])


def pixels(png):
    """[height, width, 3] of a PNG of 8-bit RGB whose rows may be filtered. Source: W3C, PNG, third edition, 9."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", png[16:29])
    channels, at, data = {2: 3, 6: 4}[colour], 8, b""
    assert depth == 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        data, at = data + png[at + 8 : at + 8 + size] * (kind == b"IDAT"), at + 12 + size
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    made = np.zeros((height + 1, width + 1, channels), np.int64)
    for y, row in enumerate(rows, 1):
        line, kind = row[1:].reshape(width, channels).astype(np.int64), row[0]
        if kind in (0, 2):
            made[y, 1:] = (line + made[y - 1, 1:] * (kind == 2)) % 256
            continue
        for x in range(1, width + 1):
            a, b, c = made[y, x - 1], made[y - 1, x], made[y - 1, x - 1]
            p = np.abs(np.array([b - c, a - c, a + b - 2 * c])).argmin(0)
            made[y, x] = (line[x - 1] + [a, None, (a + b) // 2, np.choose(p, [a, b, c])][kind - 1]) % 256
    return made[1:, 1:, :3]


def rgb(colour):
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


@pytest.mark.browser
def test_a_png_has_the_size_and_the_colours_asked_for(tmp_path):
    DOT.save(tmp_path / "dot.png")
    made = pixels((tmp_path / "dot.png").read_bytes())
    assert made.shape == (240, 600, 3)
    assert made[90, 300].tolist() == rgb(LIGHT["c1"]) and made[200, 500].tolist() == rgb(LIGHT["paper"])
    dark = pixels(browser.png(DOT.svg(), 300, dark=True))
    assert dark.shape == (120, 300, 3) and dark[45, 150].tolist() == rgb(DARK["c1"])


@pytest.mark.browser
def test_a_page_is_there_from_its_head_to_its_end(tmp_path):
    """At 400 pixels, less than the least window of the browser; the last figure stands at the end of a long page."""
    text = page("dots", *[section(f"dot {k}", figure(DOT)) for k in range(12)])
    made = pixels(browser.png(text, 400))
    assert made.shape[1] == 400 and made.shape[0] > 2000
    assert (made[-200:] == rgb(LIGHT["c1"])).all(-1).any()
    Pictures("dots", "Dots.", [("one", DOT)]).save(tmp_path / "dots.pdf")
    assert (tmp_path / "dots.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.browser
def test_a_page_reaches_nothing_and_one_that_is_too_tall_is_refused():
    """Neither a script that is not ours, nor a file, nor a host."""
    with browser.Browser("test") as window:
        window.show(page("<script>document.title = 'ran'</script>", "<script>document.title = 'ran'</script>"))
        assert window.run("document.scripts.length") == 1 and window.run("document.title").startswith("<script>")
        for address in ("file:///etc/hostname", "http://localhost/", "https://example.com/"):
            assert window.run(f"fetch('{address}').then(() => 'got', () => 'refused')") == "refused"
    with pytest.raises(ConfigError, match=r"expected at most 16,384 dots each way, got 300 by 20,000"):
        browser.png(Picture("tall", "Tall.", 300, 20_000, []).svg(), 300)


def test_without_a_browser_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MINICC_BROWSER", raising=False)
    with pytest.raises(
        ConfigError, match=r"expected a Chromium, got none of chromium, .* on PATH\nhint: install chromium"
    ):
        DOT.save(tmp_path / "dot.png")
    monkeypatch.setenv("MINICC_BROWSER", "/none")
    with pytest.raises(ConfigError, match=r"got '/none', which is no program"):
        Pictures("dots", "Dots.", [("one", DOT)]).save(tmp_path / "dots.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo cannot start >&2; exit 1", "it ended, or took longer than it may"),
        ("sleep 60", "it ended, or took longer than it may"),
        (r"""printf '{"id":1,"error":{"message":"no such method"}}\0' >&4; sleep 60""", "createTarget: no such method"),
    ],
)
def test_a_browser_that_fails_is_told(monkeypatch, tmp_path, script, words):
    program = tmp_path / "browser"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("MINICC_BROWSER", str(program))
    monkeypatch.setattr(browser, "LIMIT", 0.3 if script == "sleep 60" else 30)
    with pytest.raises(RunError, match=words) as caught:
        browser.png(DOT.svg())
    assert str(program) in caught.value.where and ("cannot start" in caught.value.where) == ("cannot" in script)
