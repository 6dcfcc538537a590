"""Figures, pictures and image files, as images that every provider takes."""

import base64
import io
import shutil
import sys

import IPython.display
import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure

from warp_magics import images
from warp_magics.attach import attached
from warp_magics.grammar import UsageError


def opened(one):
    assert one.kind == "image"
    return PIL.Image.open(io.BytesIO(base64.b64decode(one.data)))


def test_figures_and_images_are_images():
    figure = Figure(figsize=(40, 10))
    axes = figure.subplots()
    axes.plot([1, 2])
    for value in (figure, axes):
        image = opened(attached("fig", value))
        assert image.format == "PNG"
        assert max(image.size) <= 2100
    wide = PIL.Image.new("CMYK", (5000, 100))
    assert opened(attached("i", wide)).size == (2048, 41)


@pytest.mark.slow
def test_a_plotly_figure_is_an_image_or_says_what_it_needs(monkeypatch):
    import plotly.graph_objects as go

    monkeypatch.setenv("BROWSER_PATH", shutil.which("chromium") or "/usr/bin/chromium")
    assert opened(attached("fig", go.Figure(go.Scatter(y=[1, 2])))).format == "PNG"
    monkeypatch.setattr(go.Figure, "to_image", lambda *_, **__: (_ for _ in ()).throw(ValueError("kaleido is missing")))
    with pytest.raises(UsageError, match="pip install kaleido"):
        attached("fig", go.Figure())


@pytest.fixture
def figure():
    figure = Figure()
    figure.subplots().plot([1, 2])
    return figure


@pytest.mark.parametrize("far", [3, 20, 5000])
def test_what_is_far_outside_a_figure_does_not_make_it_large(figure, far):
    figure.axes[0].text(far, 1, "far away")
    one = attached("fig", figure)
    assert max(opened(one).size) <= 2048
    assert len(one.data) < 500_000
    width, height = opened(one).size
    plot = np.asarray(opened(one).convert("L"))
    assert 1 < width / height < 3
    assert (plot < 200).any(axis=0).sum() > width / 4, "the plot itself is to be seen"


def test_what_is_beside_a_figure_is_on_the_image(figure):
    figure.axes[0].set_ylim(0, 1)
    alone = opened(attached("fig", figure)).size
    figure.legend(["a line"], loc="upper left", bbox_to_anchor=(1.05, 1))
    assert opened(attached("fig", figure)).size > alone
    assert figure.dpi == 100


def test_an_image_does_not_say_what_drew_it(figure):
    image = opened(attached("fig", figure))
    image.load()
    assert "Software" not in image.info
    assert b"matplotlib" not in base64.b64decode(attached("fig", figure).data).lower()


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_deep_greys_are_stretched_not_cut(mode):
    deep = PIL.Image.new(mode, (3, 1))
    for at, value in enumerate((1000, 3000, 5000)):
        deep.putpixel((at, 0), value)
    grey = opened(attached("i", deep))
    assert grey.mode == "L"
    assert list(np.asarray(grey)[0]) == [0, 128, 255]


def test_pixels_that_are_no_numbers_leave_the_others():
    deep = PIL.Image.fromarray(np.array([[np.nan, -np.inf, 2, 4, np.inf]], dtype="float32"))
    assert list(np.asarray(opened(attached("i", deep)))[0][1:]) == [0, 0, 255, 255]
    assert opened(attached("i", PIL.Image.new("I", (2, 2), 7))).size == (2, 2)


def closed():
    image = PIL.Image.new("RGB", (2, 2))
    image.close()
    return image


def cut():
    file = io.BytesIO()
    PIL.Image.effect_noise((200, 200), 90).save(file, "PNG")
    return PIL.Image.open(io.BytesIO(file.getvalue()[:2000]))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (closed(), "reading it raised ValueError: Operation on closed image"),
        (PIL.Image.new("RGB", (0, 0)), "the image has no pixels, it is 0 x 0"),
        (cut(), "truncated"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_named(image, said):
    with pytest.raises(UsageError, match=f"--attach scan: .*{said}"):
        attached("scan", image)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
@pytest.mark.parametrize("suffix", ["", ".png", ".dat"])
def test_an_image_file_is_told_by_its_first_bytes(tmp_path, kind, suffix):
    path = tmp_path / f"picture{suffix}"
    PIL.Image.new("RGB", (3, 2)).save(path, kind)
    one = attached("x", path)
    assert (one.name, one.media_type) == (path.name, f"image/{kind}")
    assert (opened(one).format, opened(one).size) == (kind.upper(), (3, 2))
    assert base64.b64decode(one.data) == path.read_bytes()


@pytest.mark.parametrize("holds", [b"not found", b"", b"\x89PNG\r\n\x1a\n", b"RIFF....WAVE"])
def test_what_is_called_an_image_and_is_none_is_refused_by_its_name(tmp_path, holds):
    (tmp_path / "x.png").write_bytes(holds)
    with pytest.raises(UsageError, match=r"--attach \S*x\.png: .* is no image"):
        attached("x", tmp_path / "x.png")


def noise(path, side, **options):
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def test_an_image_file_that_is_too_large_is_scaled_down(tmp_path, monkeypatch):
    PIL.Image.new("RGB", (9000, 90)).save(tmp_path / "wide.png")
    assert opened(attached("x", tmp_path / "wide.png")).size == (2048, 20)
    monkeypatch.setattr(images, "_BYTES", 300_000)
    one = attached("x", noise(tmp_path / "noise.png", 400))
    assert len(base64.b64decode(one.data)) <= 300_000
    assert (one.media_type, opened(one).size) == ("image/jpeg", (400, 400))
    assert attached("x", PIL.Image.open(tmp_path / "noise.png")).media_type == "image/jpeg"


def test_a_photo_that_is_scaled_down_stands_as_it_did(tmp_path, monkeypatch):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # a camera held upright
    PIL.Image.new("RGB", (30, 20)).save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.setattr(images, "_LARGEST", 25)
    assert opened(attached("x", tmp_path / "photo.jpg")).size == (20, 30)


def test_without_pillow_a_file_that_is_too_large_says_what_it_needs(tmp_path, monkeypatch):
    noise(tmp_path / "noise.png", 100)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert attached("x", tmp_path / "noise.png").media_type == "image/png"
    monkeypatch.setattr(images, "_BYTES", 20_000)
    with pytest.raises(UsageError, match=r"noise\.png: 0\.0 MB .*pip install pillow"):
        attached("x", tmp_path / "noise.png")


def test_an_image_of_ipythons_is_what_its_bytes_are(tmp_path):
    file = noise(tmp_path / "noise.jpg", 20)
    assert attached("i", IPython.display.Image(data=file.read_bytes(), format="png")).media_type == "image/jpeg"
