"""Pictures as arrays: files of any format that Pillow reads, and back.

In: a path or the bytes of a file. Out: `uint8[height, width, 3]`, red first, as a viewer shows it: turned as the
camera says (EXIF), over white where it is transparent, gray as three equal colours, the first of several frames. A
file is not trusted: how large the picture is, is checked before any of it is decoded, and a picture that is cut off
is refused.

    picture = read_picture("dog.jpg")                  # uint8[576, 768, 3]
    write_picture(Path("out.png"), picture)
"""

from __future__ import annotations

import io
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from minicc.errors import ConfigError, LoadError
from minicc.paths import read_start
from minicc.runtime.files import write_file

Array = np.ndarray[Any, np.dtype[Any]]
MOST_PIXELS = 100_000_000  # 300 MB; cameras have up to this many
LARGEST_FILE = 1 << 29  # bytes
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".tiff": "TIFF"}  # to write
_DEEP = ("I;16", "I;16L", "I;16B", "I", "F")  # modes of one channel with more than a byte


def pillow(name: str) -> Any:
    """A module of Pillow. Raises ConfigError where that is not installed."""
    try:
        return import_module(f"PIL.{name}")
    except ImportError:
        problem, hint = "expected Pillow, which reads and draws pictures, got none", 'pip install "minicc[images]"'
        raise ConfigError("minicc.vision", problem, hint=hint) from None


def read_picture(source: str | Path | bytes) -> Array:
    """The picture in a file. Raises LoadError for what is none, is cut off, or has more than `MOST_PIXELS`."""
    image_module = pillow("Image")
    name, content = _content(source)
    call = f"read_picture({name!r})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own of large pictures: ours is the limit
            with image_module.open(io.BytesIO(content)) as image:
                if image.size[0] * image.size[1] > MOST_PIXELS:
                    raise image_module.DecompressionBombError(f"{image.size[0]} x {image.size[1]}")
                return _pixels(image)
    except image_module.DecompressionBombError as error:  # Pillow raises it, too
        problem = f"expected at most {MOST_PIXELS:,} pixels, got more: {error}"
        raise LoadError(call, problem, "the header of the file", "make it smaller in an editor of pictures") from None
    except MemoryError:
        raise
    except image_module.UnidentifiedImageError:
        problem = f"expected a picture, got {len(content):,} bytes of another kind"
        raise LoadError(call, problem, name, "give a JPEG, PNG, WebP, BMP, TIFF or GIF file") from None
    except Exception as error:  # each decoder breaks in ways of its own
        problem = f"expected a whole picture, got one that does not decode: {error or type(error).__name__}"
        raise LoadError(call, problem, name, "the file is cut off or damaged: copy it again") from None


def write_picture(path: Path, picture: Array) -> None:
    """Write a picture; the ending of the name says in which of `FORMATS`. Raises ConfigError."""
    check_picture_name(path)
    held = io.BytesIO()
    pillow("Image").fromarray(picture).save(held, FORMATS[path.suffix.lower()], quality=90)
    write_file(path, held.getvalue())


def check_picture_name(path: Path) -> None:
    """Raise ConfigError where the ending of a name says no format that can be written."""
    if path.suffix.lower() not in FORMATS:
        problem = f"expected a name that ends in {', '.join(FORMATS)}, got {path.name!r}"
        raise ConfigError(f"write {path}", problem, hint=f"{path.with_suffix('.png') if path.name else 'out.png'}")


def _content(source: str | Path | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "picture", source
    path = Path(source)
    call = f"read_picture({str(path)!r})"
    content = read_start(path, ".jpg", LARGEST_FILE, call, "a picture")
    if len(content) > LARGEST_FILE:
        problem = f"expected a file of at most {LARGEST_FILE:,} bytes, got more"
        raise LoadError(call, problem, str(path), "store the picture as a JPEG")
    return path.name, content


def _pixels(image: Any) -> Array:
    """An opened image as an array."""
    turned = pillow("ImageOps").exif_transpose(image)
    if turned.mode in _DEEP:
        return _shallow(np.asarray(turned))
    if turned.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in turned.info:
        above = turned.convert("RGBA")
        turned = pillow("Image").new("RGBA", above.size, "white")
        turned.alpha_composite(above)
    return np.array(turned.convert("RGB"))


def _shallow(deep: Array) -> Array:
    """Gray of 16 bits, or of floats in [0, 1], as three equal bytes."""
    scale = 255.0 if deep.dtype.kind == "f" and deep.max(initial=0) <= 1 else 255 / 65535
    gray = np.clip(np.rint(np.nan_to_num(deep.astype(np.float64)) * scale), 0, 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)
