"""Pictures are read as a viewer shows them, within limits, and are written whole."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc.errors import ConfigError, LoadError, MiniccError
from minicc.vision import read_picture, write_picture

Image = pytest.importorskip("PIL.Image")
GRADIENT = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3) * 4


def encoded(image, form="PNG", **options):
    held = io.BytesIO()
    image.save(held, form, **options)
    return held.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_png(width, height):
    """A few bytes that claim to be so many pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


def test_formats_come_back_as_they_were(tmp_path):
    for name in ("a.png", "a.bmp", "a.tiff"):
        write_picture(tmp_path / name, GRADIENT)
        np.testing.assert_array_equal(read_picture(tmp_path / name), GRADIENT)
    write_picture(tmp_path / "a.jpg", np.full((16, 16, 3), 90, np.uint8))
    assert abs(read_picture(str(tmp_path / "a.jpg")).astype(int) - 90).max() <= 2


def test_a_camera_that_was_turned():
    upright = Image.fromarray(GRADIENT)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it a quarter to the right to see it
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(read_picture(encoded(stored, exif=exif)), GRADIENT)


def test_transparent_gray_deep_and_palette():
    clear = np.dstack([GRADIENT, np.full((4, 5), 0, np.uint8)])
    assert (read_picture(encoded(Image.fromarray(clear))) == 255).all()
    half = np.dstack([GRADIENT, np.full((4, 5), 255, np.uint8)])
    np.testing.assert_array_equal(read_picture(encoded(Image.fromarray(half))), GRADIENT)
    gray = GRADIENT[:, :, 0]
    np.testing.assert_array_equal(read_picture(encoded(Image.fromarray(gray))), np.dstack([gray] * 3))
    deep = gray.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_picture(encoded(Image.fromarray(deep))), np.dstack([gray] * 3))
    few = Image.fromarray(GRADIENT).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(read_picture(encoded(few)), np.asarray(few.convert("RGB")))


@pytest.mark.parametrize("source, message", [
    (huge_png(50_000, 50_000), "at most 100,000,000 pixels, got more"),
    (huge_png(12_000, 9_000), "got more: 12000 x 9000"),
    (encoded(Image.fromarray(np.tile(GRADIENT, (9, 9, 1))), "JPEG")[:700], "does not decode"),
    (b"", "got 0 bytes of another kind"),
    (b"\x08\x07 a model", "of another kind"),
    ("nowhere/dog.jpg", "nothing called 'nowhere'"),
], ids=["bomb", "above our limit", "cut off", "empty", "a model", "no file"])  # fmt: skip
def test_what_is_no_picture(source, message):
    with pytest.raises(LoadError) as caught:
        read_picture(source)
    assert message in str(caught.value) and caught.value.hint


@given(st.data())
def test_no_damage_gets_past_our_errors(data):
    content = bytearray(encoded(Image.fromarray(GRADIENT), data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read_picture(bytes(content)).dtype == np.uint8
    except MiniccError as error:
        assert error.hint


def test_a_name_says_the_format(tmp_path):
    with pytest.raises(ConfigError, match=r"ends in .jpg"):
        write_picture(tmp_path / "a.svg", GRADIENT)
    assert not list(tmp_path.iterdir())
