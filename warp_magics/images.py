"""Figures, pictures and image files as images that every provider takes.

Libraries are told by the names of their classes; of them Pillow alone is imported, for image files, and may be missing.
"""

from __future__ import annotations

import array
import io
import math
from typing import Any, Final

from .frames import is_a
from .grammar import UsageError
from .interpolate import raised

_SIDE: Final = 2048
"""Pixels; providers scale down what is larger."""
_LARGEST: Final = 8000
_BYTES: Final = 5_000_000
"""What providers refuse."""
_DPI: Final = 150
_PADDING: Final = 0.1  # inches, as Matplotlib has it
_BEGINS: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_DEEP: Final = ("I", "F")
_AS_THEY_ARE: Final = ("1", "L", "LA", "P", "RGB", "RGBA")


def media_type(data: bytes) -> str | None:
    """Return which image of those that all providers take a file is, by its first bytes; None for any other file."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begins, kind in _BEGINS.items() if data.startswith(begins)), None)


def drawn(name: str, value: Any) -> bytes | None:
    """Return a figure or picture as an image file; None for what is neither."""
    figure = value if is_a(value, "matplotlib", "Figure") else getattr(value, "figure", None)
    if is_a(figure, "matplotlib", "Figure"):
        return _matplotlib(figure)
    if is_a(value, "plotly", "BaseFigure"):
        return _plotly(name, value)
    if is_a(value, "PIL", "Image"):
        return _pillow(name, value)
    if is_a(value, "IPython", "Image") and isinstance(value.data, bytes):
        return value.data
    return None


def bounded(name: str, data: bytes) -> tuple[bytes, str]:
    """Return an image file and its media type, drawn smaller where providers would refuse it.

    Raises UsageError for what is no image of the four kinds, and for one that is too large where Pillow is missing.
    """
    kind = media_type(data)
    if kind is None:
        raise UsageError(f"--attach {name}: by its first bytes it is no image in PNG, JPEG, GIF or WebP.")
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        if len(data) <= _BYTES:
            return data, kind
        size = f"{len(data) / 1e6:.1f} MB are more than providers take"
        raise UsageError(f"--attach {name}: {size}. `pip install pillow`, and it is scaled down.") from None
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise UsageError(f"--attach {name}: it begins like an {kind}, but is no image that can be read.") from None
    if len(data) > _BYTES or max(image.size) > _LARGEST:
        data = _pillow(name, ImageOps.exif_transpose(image))
    return data, media_type(data) or kind


def _matplotlib(figure: Any) -> bytes:
    """Draw ``figure`` with what is beside it, up to half its size on each side: something may be miles away."""
    own, was = figure.bbox_inches, figure.dpi
    figure.dpi = _dpi(own)
    try:
        figure.draw_without_rendering()  # so that its layout is done
        tight = figure.get_tightbbox()
    finally:
        figure.dpi = was
    box = (own.intersection(tight, own.expanded(2, 2)) or own).padded(_PADDING)
    file = io.BytesIO()
    # Without the name of its maker the file is the same from every release of Matplotlib.
    figure.savefig(file, format="png", dpi=_dpi(box), bbox_inches=box, metadata={"Software": None})
    return file.getvalue()


def _dpi(box: Any) -> float:
    return min(_DPI, _SIDE / float(max(box.width, box.height)))


def _plotly(name: str, figure: Any) -> bytes:
    try:
        return bytes(figure.to_image(format="png"))
    except (ImportError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"--attach {name}: Plotly could not draw it ({raised(error)}). It needs `pip install kaleido` and a Chrome or "
            "Chromium."
        ) from None


def _pillow(name: str, image: Any) -> bytes:
    """Return ``image`` in 2048 x 2048 pixels at most: as a PNG, or as a JPEG where that has too many bytes."""
    if 0 in image.size:
        raise UsageError(f"--attach {name}: the image has no pixels, it is {image.width} x {image.height}.")
    small = image.convert("F") if image.mode.startswith(_DEEP) else image.copy()
    small.thumbnail((_SIDE, _SIDE))
    if small.mode == "F":
        small = _stretched(small)
    if small.mode not in _AS_THEY_ARE:
        small = small.convert("RGB")
    data = _saved(small, "PNG")
    return data if len(data) <= _BYTES else _saved(small.convert("RGB"), "JPEG")


def _stretched(image: Any) -> Any:
    """Return an image of numbers in grey, from its least to its most: Pillow itself cuts them at 0 and 255."""
    values = [value for value in array.array("f", image.tobytes()) if math.isfinite(value)] or [0.0]
    low, high = min(values), max(values)
    scale = 255 / (high - low) if high > low else 0.0
    return image.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def _saved(image: Any, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind)
    return file.getvalue()
