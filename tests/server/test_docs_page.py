"""GET docs: what it shows of the description, that nothing of it runs or comes from elsewhere, and how it looks."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest
from playwright.sync_api import expect

from jupyter_server_ext.rest import page, routes
from jupyter_server_ext.rest.openapi import WORDS
from tests.browser import chromium, shot, too_pale
from tests.server.alone_process import running_alone
from tests.server.process import running_jupyter

VOID = {"meta", "br", "link"}


class Parts(HTMLParser):
    """What a page is made of; raises where it is not closed as it was opened."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.tags.append(tag)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told[name] for name in ("href", "src", "action") if name in told]
        assert not [name for name in told if name.startswith("on") or name == "style"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html():
    return page.page(routes.document())


async def test_it_is_served_so_that_nothing_of_it_can_run(rest):
    said = await rest("docs", below="warp/")
    assert (said.status, said.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert said.headers["X-Content-Type-Options"] == "nosniff"
    (style,) = re.findall(r"<style>(.*?)</style>", said.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = said.headers.get_list("Content-Security-Policy")
    assert len(policies) == 1
    assert policies[0].startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert (await rest("docs", below="warp/", headers={})).status == 403


def test_it_is_whole_and_has_no_script_and_no_place_but_its_own(html):
    parts = Parts(html)
    assert not {"script", "img", "iframe", "link", "object", "form"} & set(parts.tags)
    assert len(parts.ids) == len(set(parts.ids))
    assert "openapi.json" in parts.links
    assert {link[1:] for link in parts.links if link != "openapi.json"} <= set(parts.ids)
    assert parts.tags.count("details") == len(WORDS)


def test_it_shows_every_operation_field_and_schema(html):
    document = routes.document()
    for key, said in WORDS.items():
        assert f"<code>/{key.split(' ')[1]}</code>" in html
        assert f'id="{said.id}"' in html
    for name, schema in document["components"]["schemas"].items():
        assert f'<h3 id="schema-{name}">' in html
        for field in schema.get("properties", {}):
            assert f"<code>{field}</code>" in html


def test_text_is_text():
    evil = '<img src=x onerror="alert(1)">'
    schema = {"description": evil, "properties": {evil: {"description": evil, "enum": [evil], "default": evil}}}
    said = {
        "operationId": "x",
        "tags": [evil],
        "summary": evil,
        "description": evil,
        "parameters": [{"name": evil, "in": evil, "description": evil, "schema": {"type": evil}}],
        "responses": {
            "200": {"description": evil, "content": {evil: {"schema": {"type": evil}}}, "headers": {evil: {}}}
        },
        "x-codeSamples": [{"label": evil, "source": evil}],
    }
    shown = page.page(
        {
            "info": {"title": evil, "version": evil, "description": evil},
            "tags": [{"name": evil, "description": evil}],
            "paths": {evil: {"get": said}},
            "components": {"schemas": {"X": schema}},
        }
    )
    assert "<img" not in shown
    assert shown.count("&lt;img") > 15


# -- in a browser, and in a shell


@pytest.fixture(params=["jupyter", "alone"])
def served(request, configure, tmp_path):
    """The address of the page, a token for it, and the headers that a browser needs to be let in."""
    configure("ok")
    if request.param == "alone":
        with running_alone(tmp_path / "one", {}) as alone:
            yield alone.url, alone.token, {"Authorization": f"Bearer {alone.token}"}
    else:
        with running_jupyter(tmp_path / "one", {}) as server:
            yield server.warp, server.token, {}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_a_person_sees(served):
    """In a thread of its own: playwright's loop and pytest-asyncio's are not to meet."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(looked_at, *served).result()


def looked_at(url, token, headers):
    with chromium() as browser:
        for width in (1100, 360):
            for theme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": 1200}, color_scheme=theme, extra_http_headers=headers
                )
                see(context.new_page(), f"{url}/docs", token if not headers else "", f"docs-{width}-{theme}")
                context.close()


def see(tab, url, token, name):
    asked, wrong = [], []
    tab.on("request", lambda one: asked.append(one.url))
    tab.on("console", lambda one: wrong.append(one.text))
    tab.on("pageerror", lambda one: wrong.append(str(one)))
    tab.goto(f"{url}?token={token}" if token else url)
    details = tab.locator("details")
    expect(details).to_have_count(len(WORDS))
    expect(tab.locator("#prompt")).not_to_be_visible()
    tab.locator("summary").first.click()
    expect(tab.locator("#prompt")).to_contain_text("createSession")
    tab.keyboard.press("Enter")  # the summary has the focus
    expect(tab.locator("#prompt")).not_to_be_visible()
    tab.locator("summary").first.click()
    tab.locator("#prompt a[href='#schema-Ask']").first.click()
    expect(tab.locator("#schema-Ask")).to_be_in_viewport()
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert too_pale(tab, "body *") == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    shot(tab, name)
    assert {one.partition("?")[0].partition("#")[0] for one in asked} == {url}
    assert wrong == []


@pytest.mark.slow
def test_its_commands_work(served, tmp_path):
    url, token, _ = served
    env = os.environ | {"WARP": url, "TOKEN": token}
    for verbs in routes.document()["paths"].values():
        for said in verbs.values():
            command = said["x-codeSamples"][0]["source"].replace(
                "curl", "curl -sS -o said -w '%{http_code}' --max-time 3", 1
            )
            ran = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False
            )
            good = {status for status in said["responses"] if status < "300"}
            assert ran.stdout in good or (ran.stdout == "404" and "talk" in command), f"{command}\n{ran}"
