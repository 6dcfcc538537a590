"""What goes along with a prompt: data, figures, images, files and exceptions as texts and images.

Libraries are told by the names of their classes; none is imported that its object has not imported already, but for pypdf
and, for image files, Pillow.
"""

from __future__ import annotations

import base64
import io
import os
import re
import traceback
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from .frames import frame_text, trimmed
from .grammar import UsageError
from .images import bounded, drawn, media_type
from .interpolate import raised
from .plain import plain_text

if TYPE_CHECKING:
    from .gateway import Attachment

TOKENS: Final = 4000
"""How many tokens a text may have unless told otherwise."""
_CHARS: Final = 4  # a token, as the gateway estimates them
_CELL: Final = re.compile(r"[/\\]ipykernel_\d+[/\\]|^<ipython-input-")
_SHELL: Final = re.compile(r"[/\\]IPython[/\\]core[/\\]interactiveshell\.py$")
"""The code that runs cells: no part of what went wrong in one."""
_FRAMES: Final = 3
_IMAGES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_LIBRARIES: Final = frozenset({"site-packages", "dist-packages"})
_STANDARD: Final = Path(os.__file__).parent
_LONE: Final = re.compile("[\ud800-\udfff]")
_CAN: Final = (
    "A DataFrame, Series, array, Matplotlib or Plotly figure, PIL image, file, exception, plain Python data, a dataclass's "
    "or Pydantic model's instance, or an object with _repr_llm_() can be attached."
)


def attached(name: str, value: Any, tokens: int = TOKENS) -> Attachment:
    """Return ``value`` as an attachment called ``name``, a text in about ``tokens`` tokens at most.

    A Path is read. Raises UsageError, which names it, for what cannot be attached.
    """
    try:
        return _attached(name, value, tokens * _CHARS)
    except UsageError:
        raise
    except Exception as error:  # of the object's own code, or its library's
        raise UsageError(f"--attach {name}: reading it raised {raised(error)}.") from error


def _attached(name: str, value: Any, size: int) -> Attachment:
    own = getattr(type(value), "_repr_llm_", None)
    if own is not None:
        return _text(name, trimmed(str(own(value)), size))
    if isinstance(value, BaseException):
        return _text(name, traceback_text(value, size))
    if isinstance(value, Path):
        return _at(value, size)
    image = drawn(name, value)
    if image is not None:
        return _image(name, name, image)
    told = frame_text(value, size)
    if told is None:
        told = plain_text(value, size)
    if told is None:
        raise UsageError(f"--attach {name}: a {type(value).__name__} is nothing that a model can be given. {_CAN}")
    return _text(name, told)


def traceback_text(error: BaseException, size: int = TOKENS * _CHARS) -> str:
    """Return an exception with its traceback: of libraries only the last frames, and its end where that is too long.

    It is the same wherever a notebook is run: places are told without what is a machine's, a process's or a version's.
    """
    told = traceback.TracebackException.from_exception(error)
    todo: list[traceback.TracebackException | None] = [told]
    while todo:
        one = todo.pop()
        if one is not None:
            one.stack = traceback.StackSummary.from_list(_own(one.stack))
            todo += [one.__cause__, one.__context__, *(one.exceptions or ())]
    text = "".join(told.format())
    return text if len(text) <= size else f"[the beginning was left out]\n{text[-size:]}"


def _own(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    last = len(stack) - _FRAMES
    frames = [frame for at, frame in enumerate(stack) if at >= last or not _of_library(frame.filename)]
    return [
        traceback.FrameSummary(_place(frame.filename), frame.lineno, frame.name, lookup_line=False, line=frame.line)
        for frame in frames
        if not _SHELL.search(frame.filename)
    ]


def _place(path: str) -> str:
    """Return where code is: a cell, a library's module, else the file as this folder sees it."""
    if _CELL.search(path):
        return "cell"
    one = Path(path)
    for at, part in enumerate(one.parts):
        if part in _LIBRARIES:
            return "/".join(one.parts[at + 1 :])
    for folder in (_STANDARD, Path.cwd()):
        if one.is_relative_to(folder):
            return one.relative_to(folder).as_posix()
    return path if path.startswith("<") else "/".join(one.parts[-2:])


def _of_library(path: str) -> bool:
    one = Path(path)
    return path.startswith("<frozen ") or not _LIBRARIES.isdisjoint(one.parts) or one.is_relative_to(_STANDARD)


def _text(name: str, text: str) -> Attachment:
    from .gateway import Attachment

    if not text.strip():
        raise UsageError(f"--attach {name}: it is empty.")
    return Attachment("text", _whole(name), "text/plain", text=_whole(text))


def _image(name: str, file: str, data: bytes) -> Attachment:
    from .gateway import Attachment

    data, kind = bounded(file, data)
    return Attachment("image", _whole(name), kind, data=base64.b64encode(data).decode())


def _whole(text: str) -> str:
    """Return ``text`` without the halves of characters, which no wire takes."""
    return _LONE.sub("\N{REPLACEMENT CHARACTER}", text)


# -- files -----------------------------------------------------------------------------------------


def read(name: str, data: bytes, tokens: int = TOKENS) -> Attachment:
    """Return the file called ``name``, whose content is ``data``, as an attachment; raises UsageError, as ``attached``."""
    try:
        return _file(name, name, data, tokens * _CHARS)
    except UsageError:
        raise
    except Exception as error:  # of a library that reads it
        raise UsageError(f"--attach {name}: reading it raised {raised(error)}.") from error


def _at(path: Path, size: int) -> Attachment:
    try:
        path = path.expanduser()
        data = path.read_bytes()
    except (OSError, RuntimeError, ValueError) as error:  # a home of nobody, a name that is none
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UsageError(f"--attach {path}: {why}.") from None
    return _file(path.name, str(path), data, size)


def _file(name: str, place: str, data: bytes, size: int) -> Attachment:
    """Return a file as an attachment called ``name``; errors call it ``place``."""
    if media_type(data) or PurePath(name).suffix.lower() in _IMAGES:
        return _image(name, place, data)
    if data.startswith(b"%PDF-"):
        return _text(name, trimmed(_pdf(place, data), size))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        kinds = ", ".join(sorted(one.removeprefix(".") for one in _IMAGES))
        raise UsageError(f"--attach {place}: it is neither text in UTF-8 nor a PDF nor an image ({kinds}).") from None
    return _text(name, trimmed(text, size))


def _pdf(place: str, data: bytes) -> str:
    try:
        import pypdf
    except ImportError:
        raise UsageError(f"--attach {place}: to read a PDF, `pip install pypdf`.") from None
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    except pypdf.errors.PyPdfError as error:
        raise UsageError(f"--attach {place}: the PDF cannot be read ({error}).") from None
    if not any(page.strip() for page in pages):
        raise UsageError(f"--attach {place}: the PDF has no text, only images of it; attach those.")
    return "\n\n".join(f"[page {number}]\n{page}" for number, page in enumerate(pages, start=1))
