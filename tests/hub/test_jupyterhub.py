"""A real JupyterHub with two users, set up as docs/jupyterhub.md says: what each of them sees, by which door."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess

import httpx
import pytest

from jupyter_server_ext.apart.hub import KNOWN_SECONDS
from jupyter_server_ext.rest.routes import ROUTES
from tests.fakes.provider import FakeProvider
from tests.fakes.valkey_server import running_server, server_binaries
from tests.hub.hub_process import KEY, blocks, running_hub
from tests.notebook.served import ServedKernel
from tests.server.conftest import event_of
from tests.server.process import poll

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOAD = "%load_ext warp_magics"
PASSWORD = "of-the-store-0123456789"


@pytest.fixture(scope="module")
def fake():
    with FakeProvider.in_thread() as provider:
        yield provider


@pytest.fixture(scope="module")
def store():
    with running_server(next(iter(server_binaries().values())), password=PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def hub(fake, store, tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub"), store.url, fake.base_url) as running:
        yield running


@pytest.fixture(scope="module")
def ada(hub):
    return hub.user("ada")


@pytest.fixture(scope="module")
def bob(hub):
    return hub.user("bob")


@contextlib.contextmanager
def kernel_of(user):
    with ServedKernel(user, user.home / ".local" / "share" / "jupyter", LOAD) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def kernel(ada):
    with kernel_of(ada) as running:
        yield running


@pytest.fixture(scope="module")
def kernel_of_bob(bob):
    with kernel_of(bob) as running:
        yield running


def ask(client, prompt, session, **more):
    body = {"prompt": prompt, "sessionId": session, "createSession": True, **more}
    said = client.post("prompt", json=body)
    assert said.status_code == 200, said.text
    return said.json()


def prompts(client, session):
    told = client.get(f"sessions/{session}/history")
    assert told.status_code == 200, told.text
    return [turn["prompt"] for turn in told.json()["turns"]]


@contextlib.contextmanager
def signed_in(user):
    """The user's browser: what a panel asks with."""
    with contextlib.closing(user.browser()) as browser:
        token = next(
            one.value for one in browser.cookies.jar if (one.name, one.path) == ("_xsrf", f"/user/{user.name}/")
        )
        browser.headers["X-XSRFToken"] = token
        yield browser


# -- each sees their own, by every door


def test_what_one_door_wrote_the_users_other_doors_see_and_nobody_else_does(ada, bob, kernel, kernel_of_bob):
    for user, cells in ((ada, kernel), (bob, kernel_of_bob)):
        with user.server() as server, signed_in(user) as panel, user.curl() as curl:
            asked = [f"{user.name} by {door}" for door in ("cell", "panel", "curl", "server")]
            assert "in message 1." in cells.run(f"%%warp --session same\n{asked[0]}").everything
            assert "in message 3." in ask(panel, asked[1], "same")["text"]
            assert "in message 5." in ask(curl, asked[2], "same")["text"]
            assert "in message 7." in ask(server, asked[3], "same")["text"]
            assert "in message 9." in cells.run("%%warp --session same\nand again").everything
            for client in (server, panel, curl):
                assert prompts(client, "same") == [*asked, "and again"]
                assert [one["sessionId"] for one in client.get("sessions").json()["sessions"]] == ["same"]
            assert asked[2] in cells.run("%warp history same").everything


def test_a_kernel_says_that_it_uses_its_servers_gateway(kernel, ada):
    said = kernel.run("%warp").everything
    assert "/user/ada/warp" in said
    assert "valkey" in said or "redis" in said


def test_a_stream_comes_through_hub_proxy_and_server_as_it_is_made_and_another_door_stops_it(ada, fake):
    body = {"prompt": "Tell", "sessionId": "live", "createSession": True, "models": ["fake:silent-2"]}
    with ada.server() as server, ada.curl() as curl, server.stream("POST", "stream", json=body) as streamed:
        assert streamed.status_code == 200
        stream_id = streamed.headers["x-stream-id"]
        lines = streamed.iter_lines()
        first = next(line for line in lines if '"response"' in line)  # while the model is silent
        assert json.loads(first.removeprefix("data: "))
        assert curl.post(f"streams/{stream_id}/stop").json()["status"] == "stopped"
        events = [event_of(block.strip()) for block in "\n".join(lines).split("\n\n") if "event: " in block]
        assert events[-1].data["response"]["result"] == "INCOMPLETE_STOPPED"
        assert server.get(f"streams/{stream_id}", headers={"Last-Event-ID": f"{events[-1].id}"}).status_code == 204


def test_a_reader_that_leaves_is_noticed_at_the_provider(ada, fake):
    body = {"prompt": "Tell", "store": False, "models": ["fake:silent-2@left"]}
    with ada.server() as server, server.stream("POST", "stream", json=body) as streamed:
        next(line for line in streamed.iter_lines() if '"response"' in line)
    poll(lambda: [call for call in fake.disconnects if call.model == "silent-2@left"], 60)


def test_an_openai_client_finds_its_paths_at_either_door(ada):
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    for client in (ada.server(), ada.curl()):
        with client:
            url = str(client.base_url).replace("api/v1/", "v1/chat/completions")
            said = client.post(url, json=body, headers={"x-session-id": "openai"})
            assert said.status_code == 200, said.text
    with ada.curl() as curl:
        assert prompts(curl, "openai") == ["Hello", "Hello"]


def test_an_idempotency_key_is_the_same_turn_by_whichever_door(ada):
    with ada.server() as server, ada.curl() as curl:
        body = {"prompt": "Once", "sessionId": "once", "createSession": True}
        answers = [one.post("prompt", json=body, headers={"Idempotency-Key": "k1"}).json() for one in (server, curl)]
        assert answers[0]["turnId"] == answers[1]["turnId"] == "k1"
        assert prompts(curl, "once") == ["Once"]


# -- what a hostile user can read


LOOK = """
import os, pathlib
def environ(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError as error:
        return str(error)
def files(path):
    path = pathlib.Path(path)
    found = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else []
    return {str(one): text for one in found if (text := read(one))}
def read(path):
    try:
        return path.read_text(errors="replace") if path.stat().st_size < 10**6 else ""
    except FileNotFoundError:  # a journal, as of IPython's history: gone since it was listed
        return ""
seen = {"kernel": repr(dict(os.environ)), "self": environ("self"), "server": environ(os.getppid())}
seen |= {"shell": os.popen("env").read()}
for name in ("WARP_CONFIG", "HOME", "JUPYTER_RUNTIME_DIR", "JPY_SESSION_NAME"):
    seen |= files(os.environ[name]) if os.environ.get(name) else {}
from jupyter_core.paths import jupyter_config_path
for folder in jupyter_config_path():
    seen |= files(folder)
"""


def test_neither_server_nor_kernel_nor_their_files_hold_a_key_or_the_stores_url(hub, store, kernel_of_bob):
    kernel_of_bob.run(LOOK)
    seen = kernel_of_bob.value("seen")
    assert {"JUPYTERHUB_API_TOKEN", "WARP_CONFIG"} <= set(re.findall(r"\w+", seen["server"]))
    assert "[gateway]" in "".join(seen.values()), "the file that the environment names was read"
    for secret in (KEY, store.url, PASSWORD, f":{store.port}", str(hub.folder / "service")):
        assert [name for name, text in seen.items() if secret in text] == []
    shown = kernel_of_bob.run("%warp config").everything + kernel_of_bob.run("%warp models").everything
    assert KEY not in shown
    assert PASSWORD not in shown


def paths_of(route, ids):
    """The route's path with each of the ids that fit it."""
    group = re.search(r"\(\?P<(\w+)>[^)]*\)", route.pattern)
    return [re.sub(r"\(\?P<\w+>[^)]*\)", one, route.pattern) for one in ids[group[1]]] if group else [route.pattern]


def bodies(ids):
    """What may be asked of the paths that take a body, with somebody's ids in it."""
    session, turn = ids["session_id"][0], ids["turn_id"][0]
    return [
        {"prompt": "mine", "sessionId": session},
        {"prompt": "", "continue": turn, "sessionId": session},
        {"prompt": "mine", "replaces": turn, "sessionId": session},
        {"to": turn},
        {"at": turn},
        {"title": "mine"},
    ]


def test_with_a_users_token_nothing_of_another_is_reached_by_any_path(ada, bob, hub, kernel_of_bob):
    with ada.curl() as curl:
        made = ask(curl, "secret-of-ada", "private")
        before = [curl.get(path).json() for path in ("sessions/private", "sessions/private/history")]
    theirs = {"session_id": ["private"], "stream_id": [made["streamId"]], "turn_id": [made["turnId"]]}
    never = {"session_id": ["never-was"], "stream_id": ["never-was~1"], "turn_id": ["never-was-a-turn"]}
    for ids in (theirs, never):
        ids["name"] = ["fake:ok"]  # a model's, which is everybody's
    token = kernel_of_bob.value("__import__('os').environ['JUPYTERHUB_API_TOKEN']")
    tried = 0
    with hub.service(token) as straight, bob.server(token) as passed:
        for client in (straight, passed):
            for route in ROUTES:
                answers = [told(client, route, ids) for ids in (theirs, never)]
                assert [status for status, _ in answers[0]] == [status for status, _ in answers[1]], route
                for _, text in answers[0]:
                    assert "secret-of-ada" not in text, route
                    assert made["turnId"] not in text or "mine" in text, route
                tried += len(answers[0])
        assert "private" not in [one["sessionId"] for one in straight.get("sessions").json()["sessions"]]
        assert straight.get("sessions/private/history").status_code == 404
    assert tried > 50
    with ada.curl() as curl:
        assert [curl.get(path).json() for path in ("sessions/private", "sessions/private/history")] == before


def told(client, route, ids):
    """Status and text of the route's answers to each path and body that says the ids; of a stream what comes first."""
    found = []
    for path in paths_of(route, ids):
        url = str(client.base_url).replace("api/v1/", path)
        query = f"?session={ids['session_id'][0]}&after={ids['stream_id'][0]}:1-1&to={ids['turn_id'][0]}"
        for body in bodies(ids) if route.verb in ("POST", "PATCH") else [None]:
            more = {} if body is None else {"json": body}
            with client.stream(route.verb, url + (query if body is None else ""), **more) as said:
                text = "" if "event-stream" in said.headers.get("content-type", "") else said.read().decode()
                found.append((said.status_code, text))
    return found


def test_another_users_server_lets_nobody_in(ada, bob, kernel_of_bob):
    token = kernel_of_bob.value("__import__('os').environ['JUPYTERHUB_API_TOKEN']")
    for one in (token, bob.token):
        with ada.server(one) as server:
            assert server.get("sessions").status_code == 403
            assert server.post("prompt", json={"prompt": "x"}).status_code == 403


def test_a_visitor_of_a_server_may_not_use_its_users_gateway(ada, hub):
    token = hub.token("visitor")["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{ada.url}api/status", headers=headers).status_code == 200, "let in, to all but the gateway"
    with ada.server(token) as server:
        said = server.get("sessions")
        assert (said.status_code, said.json()["code"]) == (403, "FORBIDDEN")
        assert "not yours" in said.json()["message"]
        assert server.get("health/ready").json() == {"status": "ok"}


def test_a_users_server_of_jupyterhubs_older_kind_knows_its_visitors_too(ada, hub):
    old = hub.user("old")
    with old.server() as server, old.curl() as curl, old.server(hub.token("visitor")["token"]) as visited:
        ask(curl, "by curl", "aged")
        assert prompts(server, "aged") == ["by curl"]
        said = visited.get("sessions")
        assert (said.status_code, said.json()["code"]) == (403, "FORBIDDEN")
        assert "not yours" in said.json()["message"]
    assert httpx.get(f"{old.url}warp/api/v1/sessions").status_code == 403


FORGED = (
    "X-Forwarded-User",
    "X-Remote-User",
    "Remote-User",
    "X-JupyterHub-User",
    "X-User",
    "X-Auth-Request-User",
    "Cookie",
)


def test_who_one_is_is_said_by_the_token_alone(ada, bob, hub):
    forged = dict.fromkeys(FORGED, "ada") | {"Cookie": "jupyterhub-user-ada=ada; jupyterhub-services=ada"}
    with ada.curl() as curl:
        ask(curl, "secret-of-ada", "forged")
    with hub.service(None, **forged) as nobody:
        assert nobody.get("sessions").status_code == 401
        assert nobody.get(f"sessions?token={ada.token}").status_code == 401
        assert nobody.get("health/ready").json() == {"status": "ok"}
    with bob.curl() as curl, bob.server() as server:
        for client in (curl, server):
            assert client.get("sessions/forged", headers=forged).status_code == 404


# -- tokens


def test_a_token_without_the_scope_is_refused_and_told_which(hub, ada):
    less = hub.token("ada", scopes=["read:users!user=ada"])["token"]
    for token in (less, hub.admin):
        with hub.service(token) as client:
            said = client.get("models")
            assert (said.status_code, said.json()["code"]) == (403, "FORBIDDEN")
            assert "lacks the scope access:services!service=warp." in said.json()["message"]
            assert token not in said.text
            assert client.get("health/live").status_code == 200


def test_a_token_that_the_hub_does_not_know_is_a_strangers(hub):
    with hub.service("never-was-a-token") as client:
        said = client.get("models")
        assert (said.status_code, said.json()["code"]) == (401, "UNAUTHORIZED")
        assert "access:services!service=warp" in said.json()["message"]


def test_a_service_of_a_users_name_is_somebody_else(hub, ada):
    with ada.curl() as curl, hub.service(hub.robot) as robot:
        ask(curl, "secret-of-ada", "namesake")
        assert robot.get("sessions/namesake").status_code == 404
        assert "in message 1." in ask(robot, "of the robot", "namesake")["text"]
        assert prompts(curl, "namesake") == ["secret-of-ada"]


def test_a_revoked_token_stops_working_within_the_time_that_is_promised(hub, ada):
    made = hub.token("ada")
    with hub.service(made["token"]) as client:
        assert client.get("sessions").status_code == 200
        hub.api("DELETE", f"users/ada/tokens/{made['id']}").raise_for_status()
        poll(lambda: client.get("sessions").status_code == 401, 10 * KNOWN_SECONDS)


# -- the service


def service_pid(hub):
    return int(hub.api("GET", "services/warp").json().get("pid") or 0)


def test_a_service_that_dies_is_started_anew_and_nobody_answers_in_its_place(hub, ada, kernel):
    with ada.server() as server, ada.curl() as curl:
        ask(curl, "before", "dies")
        killed = service_pid(hub)
        os.kill(killed, signal.SIGKILL)
        said = poll(lambda: (one := server.get("sessions/dies")).status_code == 503 and one, 60)
        assert said.json()["code"] == "GATEWAY_UNREACHABLE"
        assert "/services/warp" in said.json()["message"]
        failed = kernel.run("%%warp --session dies\nmeanwhile", ok=False, within=120)
        assert failed.error["ename"] == "GatewayUnreachable"
        assert "/services/warp" in failed.error["evalue"]
        poll(lambda: curl.get("health/ready").status_code == 200, 120)
        assert "in message 3." in kernel.run("%%warp --session dies\nafter").everything
        assert prompts(server, "dies") == ["before", "after"]
    assert service_pid(hub) != killed


def test_it_says_where_it_is_and_no_secret_is_in_the_log(hub, ada, bob, store):
    said = hub.log()
    assert re.search(r"^listens +http://127\.0\.0\.1:\d+/services/warp$", said, re.MULTILINE)
    assert "token    JupyterHub's, with access:services!service=warp" in said
    assert '/services/warp/api/v1/prompt -H "Authorization: Bearer $TOKEN"' in said
    for secret in (KEY, PASSWORD, ada.token, bob.token, hub.admin, hub.robot):
        assert secret not in said
    assert not list(hub.folder.rglob("warp/token"))


def test_the_pages_commands_do_what_it_says(hub, ada):
    (commands,) = blocks("bash")
    env = os.environ | {"HUB": hub.url, "TOKEN": ada.token, "NAME": "ada"}
    ran = subprocess.run(
        ["bash", "-ec", commands.replace("curl ", "curl -sf -w '\\n' ")],
        env=env,
        capture_output=True,
        timeout=120,
        check=True,
    )
    ready, answer, history = (json.loads(line) for line in ran.stdout.splitlines())
    assert ready["configured"] is True
    assert answer["sessionId"] == "hub"
    assert [turn["prompt"] for turn in history["turns"]] == ["Hello"]
