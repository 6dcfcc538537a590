"""What other packages bring, good and bad. A package here is a module and its metadata on the path."""

import itertools

import pytest

from tests.gateway.kit import configured, opened
from warp_magics.gateway import plugins, providers
from warp_magics.gateway.config import load_config
from warp_magics.gateway.dialects import dialect
from warp_magics.gateway.errors import ConfigError, ModelMissing, NotSayable
from warp_magics.gateway.types import ChatRequest

_numbers = itertools.count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`package("code", dialects={"name": "object"})` puts one on the path until the test has ended."""

    def forget():
        plugins.points.cache_clear()
        providers.rows.cache_clear()

    def put(code, **groups):
        name = f"warp_test_package_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(code)
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        lines = []
        for group, points in groups.items():
            lines += [f"[warp_magics.{group}]", *(f"{key} = {name}:{value}" for key, value in points.items())]
        (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    yield put
    monkeypatch.undo()
    forget()


ROW = 'from warp_magics.gateway import Provider\nROW = Provider("{name}", "openai", "{url}", ("ACME_KEY",), (), "ok")\n'


def test_every_dialect_that_may_be_named_is_there():
    rows = {row.dialect for row in providers.PROVIDERS.values()}
    assert rows == set(providers.dialects())
    for name in providers.dialects():
        assert callable(dialect(name).encode)
    with pytest.raises(LookupError, match="klingon"):
        dialect("klingon")


@pytest.mark.asyncio
@pytest.mark.parametrize("named", ["ROW", "row"])
async def test_a_row_answers_once_its_key_is_set(package, fake, named):
    code = ROW.format(name="acme", url=fake.base_url) + "def row():\n    return ROW\n"
    package(code, providers={"acme": named})
    config = load_config(env={"ACME_KEY": "ak-0123456789"})
    assert [str(model) for model in config.chain] == ["acme:ok"]
    async with opened(config) as gateway:
        answer = await gateway.ask(ChatRequest("hi", store=False))
    assert (answer.model, fake.requests[0].key) == ("acme:ok", "ak-0123456789")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise OSError('no such file')", "cannot be used: OSError: no such file"),
        ("ROW = 'acme'", "is no Provider row of that name"),
        (ROW.format(name="other", url="http://h"), "is no Provider row of that name"),
        ("def ROW():\n    return 1 / 0", "cannot be used: ZeroDivisionError"),
        ("OTHER = 1", "cannot be used: AttributeError"),
    ],
)
def test_a_row_that_cannot_be_used_is_told_and_passed_over(package, code, words):
    package(code, providers={"acme": "ROW"})
    config = load_config(env={"OPENAI_API_KEY": "sk-0123456789"})
    assert [str(model) for model in config.chain] == ["openai:gpt-4o-mini"]
    (warning,) = config.warnings
    assert "acme" in warning
    assert words in warning


def test_a_built_in_name_stays_built_in(package):
    package(ROW.format(name="openai", url="http://stranger"), providers={"openai": "ROW"})
    config = load_config(env={"OPENAI_API_KEY": "sk-0123456789"})
    assert config.providers["openai"].base_url == "https://api.openai.com/v1"
    assert config.warnings == ("the provider 'openai' of another package is passed over: that name is built in",)


LATE = """
from warp_magics.gateway.dialects.openai import OpenAI
class Late(OpenAI):
    def encode(self, conversation, key):
        raise KeyError("tools")
class Half:
    def encode(self, conversation, key): ...
NONE = 3
"""


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault",
    [
        ("Late", NotSayable, "cannot be put in the words of late:m"),
        ("Half", ModelMissing, "has no decoder and no decode and no error"),
        ("NONE", ModelMissing, "cannot be used: TypeError"),
        ("GONE", ModelMissing, "cannot be used: AttributeError"),
    ],
)
async def test_a_dialect_that_cannot_be_used_is_told_and_the_next_model_answers(package, fake, tmp_path, fault):
    named, kind, words = fault
    package(LATE, dialects={"late": named})
    late = {"late": {"dialect": "late", "base_url": fake.base_url}}
    async with opened(configured(tmp_path, fake.base_url, "late:m", "ok", providers=late)) as gateway:
        answer = await gateway.ask(ChatRequest("hi", store=False))
        assert (answer.model, len(fake.requests)) == ("lab:ok", 1)
        assert answer.route[0].outcome == kind.code
        assert words in answer.route[0].reason


def test_a_dialect_nobody_brings_is_an_error_that_names_those_there_are(package, tmp_path):
    package(LATE, dialects={"late": "Late"})
    with pytest.raises(ConfigError, match=r"is not a dialect; there are anthropic, .*late, mistral, openai"):
        configured(tmp_path, "http://h", "ok", providers={"x": {"dialect": "soon", "base_url": "http://h"}})
