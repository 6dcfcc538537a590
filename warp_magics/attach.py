"""What goes along with a prompt: data, figures, images, files and exceptions as texts and images.

Libraries are told by the names of their classes; none is imported that its object has not imported already, but for pypdf.
"""

from __future__ import annotations

import base64
import io
import pprint
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .frames import frame_text, is_a, trimmed
from .grammar import UsageError

if TYPE_CHECKING:
    from .gateway import Attachment

TOKENS: Final = 4000
"""How many tokens a text may have unless told otherwise."""
_CHARS: Final = 4  # a token, as the gateway estimates them
_SIDE: Final = 2048  # pixels; providers scale down what is larger
_DPI: Final = 150
_FRAMES: Final = 3
_IMAGES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
_PLAIN: Final = (str, int, float, complex, bool, dict, list, tuple, set, frozenset)
_CAN: Final = (
    "A DataFrame, Series, array, Matplotlib or Plotly figure, PIL image, file, exception, plain Python data, or an object "
    "with _repr_llm_() can be attached."
)


def attached(name: str, value: Any, tokens: int = TOKENS) -> Attachment:
    """Return ``value`` as an attachment called ``name``, a text in about ``tokens`` tokens at most.

    A Path is read. Raises UsageError, which names it, for what cannot be attached.
    """
    size = tokens * _CHARS
    own = getattr(type(value), "_repr_llm_", None)
    if own is not None:
        return _text(name, str(own(value)), size)
    if isinstance(value, BaseException):
        return _text(name, traceback_text(value, size), size)
    if isinstance(value, Path):
        return _file(value, size)
    image = _picture(name, value)
    if image is not None:
        return image
    told = frame_text(value, size)
    if told is None and isinstance(value, _PLAIN):
        told = value if isinstance(value, str) else pprint.pformat(value, width=100, compact=True)
    if told is None:
        raise UsageError(f"--attach {name}: a {type(value).__name__} is nothing that a model can be given. {_CAN}")
    return _text(name, told, size)


def traceback_text(error: BaseException, size: int = TOKENS * _CHARS) -> str:
    """Return an exception with its traceback: of libraries only the last frames, and its end where that is too long."""
    told = traceback.TracebackException.from_exception(error)
    one: traceback.TracebackException | None = told
    while one is not None:
        one.stack = traceback.StackSummary.from_list(_own(one.stack))
        one = one.__cause__ or one.__context__
    text = "".join(told.format())
    return text if len(text) <= size else f"[the beginning was left out]\n{text[-size:]}"


def _own(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    last = len(stack) - _FRAMES
    return [frame for at, frame in enumerate(stack) if at >= last or not _of_library(frame.filename)]


def _of_library(path: str) -> bool:
    parts = Path(path).parts
    return "site-packages" in parts or "dist-packages" in parts or any(part.startswith("python3") for part in parts)


def _text(name: str, text: str, size: int) -> Attachment:
    from .gateway import Attachment

    if not text.strip():
        raise UsageError(f"--attach {name}: it is empty.")
    return Attachment("text", name, "text/plain", text=trimmed(text, size))


def _image(name: str, data: bytes, media_type: str = "image/png") -> Attachment:
    from .gateway import Attachment

    return Attachment("image", name, media_type, data=base64.b64encode(data).decode())


def _picture(name: str, value: Any) -> Attachment | None:
    figure = value if is_a(value, "matplotlib", "Figure") else getattr(value, "figure", None)
    if is_a(figure, "matplotlib", "Figure"):
        return _image(name, _matplotlib(figure))
    if is_a(value, "plotly", "BaseFigure"):
        return _image(name, _plotly(name, value))
    if is_a(value, "PIL", "Image"):
        return _image(name, _pillow(value))
    if is_a(value, "IPython", "Image") and isinstance(value.data, bytes):
        return _image(name, value.data, f"image/{value.format}")
    return None


def _matplotlib(figure: Any) -> bytes:
    drawn = io.BytesIO()
    dpi = min(_DPI, _SIDE / max(figure.get_size_inches()))
    figure.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight")
    return drawn.getvalue()


def _plotly(name: str, figure: Any) -> bytes:
    try:
        return bytes(figure.to_image(format="png"))
    except (ImportError, RuntimeError, ValueError) as error:
        why = str(error).strip().splitlines()[0]
        raise UsageError(
            f"--attach {name}: Plotly could not draw it ({why}). It needs `pip install kaleido` and a Chrome or Chromium."
        ) from None


def _pillow(image: Any) -> bytes:
    drawn, small = io.BytesIO(), image.copy()
    small.thumbnail((_SIDE, _SIDE))
    if small.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        small = small.convert("RGB")
    small.save(drawn, format="PNG")
    return drawn.getvalue()


# -- files -----------------------------------------------------------------------------------------


def _file(path: Path, size: int) -> Attachment:
    path = path.expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--attach {path}: {error.strerror or error}.") from None
    kind = _IMAGES.get(path.suffix.lower())
    if kind is not None:
        return _image(path.name, data, kind)
    if data.startswith(b"%PDF-"):
        return _text(path.name, _pdf(path, data), size)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        kinds = ", ".join(sorted(one.removeprefix(".") for one in _IMAGES))
        raise UsageError(f"--attach {path}: it is neither text in UTF-8 nor a PDF nor an image ({kinds}).") from None
    return _text(path.name, text, size)


def _pdf(path: Path, data: bytes) -> str:
    try:
        import pypdf
    except ImportError:
        raise UsageError(f"--attach {path}: to read a PDF, `pip install pypdf`.") from None
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    except pypdf.errors.PyPdfError as error:
        raise UsageError(f"--attach {path}: the PDF cannot be read ({error}).") from None
    if not any(page.strip() for page in pages):
        raise UsageError(f"--attach {path}: the PDF has no text, only images of it; attach those.")
    return "\n\n".join(f"[page {number}]\n{page}" for number, page in enumerate(pages, start=1))
