"""The OpenAI paths, spoken to byte by byte: what reaches the provider, what comes back, what a session makes of it."""

from __future__ import annotations

import asyncio
import json
from typing import ClassVar

import pytest

from tests.fakes.provider import Fault, Reply

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
HELLO = {"role": "user", "content": "Hello"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}
CALLED = Reply(chunks=[], tools=[("weather", {"city": "Rome"})])


@pytest.fixture
def v1(rest):
    """`await v1("chat/completions", {...}, session="s")`; a body without a model asks `auto`."""

    async def call(path, body=None, *, session=None, **more):
        headers = {"Authorization": f"token {rest.token}", **more.pop("headers", {})}
        if session:
            headers["x-session-id"] = session
        if isinstance(body, dict):
            body = {"model": "auto", **body}
        return await rest(path, body, below="warp/v1/", headers=headers, **more)

    return call


@pytest.fixture
def chat(v1):
    async def call(*messages, session=None, headers=None, **more):
        body = {"messages": list(messages), **more}
        return await v1("chat/completions", body, session=session, headers=headers or {})

    return call


def chunks(said):
    """The chunks of a stream, its `[DONE]` last where it has one."""
    lines = [block.removeprefix("data: ") for block in said.body.decode().split("\n\n") if block]
    return [line if line == "[DONE]" else json.loads(line) for line in lines if not line.startswith(":")]


def text_of(stream):
    deltas = [choice["delta"] for chunk in stream if isinstance(chunk, dict) for choice in chunk.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


def answer(said):
    assert said.status == 200, said.body
    return said.json["choices"][0]["message"]


async def turns(rest, session):
    return (await rest(f"sessions/{session}/history")).json["turns"]


class TestWithoutASession:
    async def test_messages_are_sent_on_as_they_came(self, chat, fake):
        parts = [{"type": "text", "text": "Before."}, IMAGE, {"type": "text", "text": "After."}]
        calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}]
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One.", "name": "ada"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
            {"role": "assistant", "content": "It is sunny."},
            {"role": "system", "content": "Be briefer."},
            {"role": "user", "content": "And now?"},
        ]
        assert (await chat(*messages, tools=[TOOL])).status == 200
        (call,) = fake.requests
        assert call.body["messages"] == messages
        assert call.body["tools"] == [TOOL]

    async def test_parameters_are_sent_on_zero_and_false_included(self, chat, fake):
        given = {
            "temperature": 0,
            "top_p": 0.5,
            "seed": 7,
            "stop": ["END"],
            "frequency_penalty": 0,
            "presence_penalty": -1.5,
            "logit_bias": {"50256": -100},
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "user": "u1",
            "top_k": 3,
        }
        assert (await chat(HELLO, **given, max_completion_tokens=9, tools=[TOOL], tool_choice="required")).status == 200
        (call,) = fake.requests
        assert {name: call.body[name] for name in given} == given
        assert (call.body["max_tokens"], call.body["tool_choice"]) == (9, "required")

    async def test_a_schema_is_sent_on_with_its_name(self, chat, fake):
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        wanted = {"type": "json_schema", "json_schema": {"name": "point", "schema": schema, "strict": False}}
        fake.script("ok", Reply(chunks=['{"a": 1}']))
        assert answer(await chat(HELLO, response_format=wanted))["content"] == '{"a": 1}'
        assert fake.requests[0].body["response_format"] == wanted

    async def test_any_json_object_is_asked_for_in_the_providers_own_way(self, chat, fake):
        fake.script("ok", Reply(chunks=["{}"]))
        spoken = {"role": "user", "content": "Answer in JSON."}
        assert (await chat(spoken, response_format={"type": "json_object"})).status == 200
        assert (await chat(HELLO, response_format={"type": "json_object"})).status == 200
        first, second = fake.requests
        assert first.body["response_format"] == second.body["response_format"] == {"type": "json_object"}
        assert first.body["messages"] == [spoken]
        assert "JSON" in second.body["messages"][0]["content"]  # or OpenAI refuses it

    async def test_nothing_is_kept(self, chat, rest):
        said = await chat(HELLO)
        assert "x-session-id" not in said.headers
        assert (await rest("sessions")).json["sessions"] == []

    async def test_the_answer_says_who_answered_and_what_it_took(self, chat):
        said = (await chat(HELLO)).json
        assert said["object"] == "chat.completion"
        assert said["model"] == "fake:ok"
        (choice,) = said["choices"]
        assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "stop", "assistant")
        usage = said["usage"]
        assert usage["prompt_tokens"] == 1
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert [attempt["outcome"] for attempt in said["warp"]["route"]] == ["ok"]

    async def test_a_stream_is_chunks_then_done(self, chat, fake):
        whole = answer(await chat(HELLO))["content"]
        said = await chat(HELLO, stream=True, stream_options={"include_usage": True})
        assert said.headers["Content-Type"].startswith("text/event-stream")
        *stream, last, usage, done = chunks(said)
        assert done == "[DONE]"
        assert stream[0]["choices"][0]["delta"]["role"] == "assistant"
        assert text_of(stream) == whole
        assert last["choices"][0]["finish_reason"] == "stop"
        assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 1)
        assert len({chunk["id"] for chunk in [*stream, last, usage]}) == 1
        assert {chunk["model"] for chunk in [*stream, last, usage]} == {"fake:ok"}
        assert all(chunk["usage"] is None for chunk in [*stream, last])

    async def test_no_usage_where_none_is_asked_for(self, chat):
        *stream, done = chunks(await chat(HELLO, stream=True))
        assert done == "[DONE]"
        assert all("usage" not in chunk and chunk["choices"] for chunk in stream)

    async def test_tool_calls_come_whole_and_streamed(self, chat, fake):
        fake.script("ok", CALLED)
        said = (await chat(HELLO, tools=[TOOL])).json["choices"][0]
        (call,) = said["message"]["tool_calls"]
        assert (said["finish_reason"], said["message"]["content"]) == ("tool_calls", None)
        assert json.loads(call["function"]["arguments"]) == {"city": "Rome"}
        *stream, _ = chunks(await chat(HELLO, tools=[TOOL], stream=True))
        (delta,) = [d for c in stream for d in [c["choices"][0]["delta"]] if d.get("tool_calls")]
        assert delta["tool_calls"] == [{"index": 0, **call}]
        assert stream[-1]["choices"][0]["finish_reason"] == "tool_calls"

    async def test_thoughts_come_beside_the_answer(self, chat, fake):
        fake.script("ok", Reply(chunks=["So."], reasoning=["Hm. ", "Well."]))
        stream = chunks(await chat(HELLO, stream=True))
        deltas = [chunk["choices"][0]["delta"] for chunk in stream[:-1]]
        assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "Hm. Well."
        assert text_of(stream) == "So."

    @pytest.mark.parametrize(("finish", "told"), [("length", "length"), ("content_filter", "content_filter")])
    async def test_an_answer_that_is_cut_says_so(self, chat, fake, finish, told):
        fake.script("ok", Reply(chunks=["Part"], finish=finish))
        assert (await chat(HELLO)).json["choices"][0]["finish_reason"] == told

    async def test_what_breaks_off_is_an_error_in_the_stream_and_never_done(self, chat, fake):
        fake.script("ok", Reply(chunks=["One ", "two", Fault.CUT]), Reply(chunks=["Other words", Fault.CUT]))
        *stream, last = chunks(await chat(HELLO, stream=True))
        assert text_of(stream) == "One two"
        assert set(last["error"]) >= {"message", "type", "code", "param"}
        assert all(chunk["choices"][0]["finish_reason"] is None for chunk in stream)

    async def test_a_signature_goes_back_to_its_provider(self, chat, fake):
        signed = {"google": {"thought_signature": "xyz"}}
        delta = {"index": 0, "id": "c9", "function": {"name": "weather", "arguments": "{}"}, "extra_content": signed}
        event = {"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}
        fake.script("ok", Reply(chunks=[event], finish="tool_calls"), Reply())
        (call,) = chunks(await chat(HELLO, tools=[TOOL], stream=True))[1]["choices"][0]["delta"]["tool_calls"]
        told = {"role": "assistant", "content": None, "tool_calls": [call]}
        await chat(HELLO, told, {"role": "tool", "tool_call_id": "c9", "content": "Rain."}, tools=[TOOL])
        assert fake.requests[1].body["messages"][1]["tool_calls"][0]["extra_content"] == signed


class TestModels:
    async def test_they_are_listed_and_found(self, v1):
        said = (await v1("models")).json
        assert said["object"] == "list"
        assert [one["id"] for one in said["data"]] == ["auto", "fake:ok"]
        assert (await v1("models/fake%3Aok")).json == said["data"][1]

    async def test_one_that_is_not_there_is_a_404(self, v1, chat):
        for said in (await v1("models/nope"), await chat(HELLO, model="fake-er:ok")):
            assert (said.status, said.json["error"]["code"]) == (404, "model_not_found")
            assert said.json["error"]["type"] == "invalid_request_error"

    async def test_aliases_and_bare_names(self, configure, v1, chat):
        configure("ok", more="", limits="")
        configure("ok", more='[[model]]\nprovider = "fake"\nmodel = "big-one"\nalias = "big"')
        assert {one["id"] for one in (await v1("models")).json["data"]} == {"auto", "fake:ok", "fake:big-one", "big"}
        for name in ("big", "big-one", "fake:big-one"):
            assert (await chat(HELLO, model=name)).json["model"] == "fake:big-one"

    async def test_fallbacks_are_the_rest_of_the_chain(self, configure, chat):
        configure("ok")
        said = (await chat(HELLO, model="fake:fail-503", fallbacks=["fake:fail-500", "fake:ok"])).json
        assert said["model"] == "fake:ok"
        assert [one["model"] for one in said["warp"]["route"]] == ["fake:fail-503", "fake:fail-500", "fake:ok"]
        assert (await chat(HELLO, fallbacks=["fake:ok"])).status == 400


class TestErrors:
    @pytest.mark.parametrize(
        ("model", "status", "code"),
        [
            ("fail-401", 502, "PROVIDER_ACCESS_ERROR"),
            ("fail-429-retry-after-7", 429, "rate_limit_exceeded"),
            ("fail-503", 502, "PROVIDER_RESPONSE_ERROR"),
            ("fail-400", 400, "PROVIDER_REQUEST_ERROR"),
        ],
    )
    async def test_a_providers_fault(self, chat, model, status, code):
        said = await chat(HELLO, model=f"fake:{model}")
        error = said.json["error"]
        assert (said.status, error["code"]) == (status, code)
        assert set(error) >= {"message", "type", "code", "param"}
        assert error["type"] == {429: "rate_limit_error", 400: "invalid_request_error"}.get(status, "server_error")
        if status == 429:
            assert 6 <= int(said.headers["Retry-After"]) <= 7
        assert said.headers.get("x-should-retry") == ("false" if model == "fail-401" else None)

    @pytest.mark.parametrize(
        ("wrong", "param"),
        [
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0"),
            ({"messages": [HELLO], "nonsense": 1}, "nonsense"),
            ({"messages": [HELLO], "n": 2}, "n"),
            ({"messages": [HELLO], "logprobs": True}, "logprobs"),
            ({"messages": [HELLO], "temperature": 3}, "temperature"),
            ({"messages": [HELLO], "api_key": "x"}, "api_key"),
            ({"messages": [HELLO], "base_url": "http://x"}, "base_url"),
            (
                {
                    "messages": [
                        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}
                    ]
                },
                "messages.0.content.0.image_url.url",
            ),
        ],
    )
    async def test_what_cannot_be_done_is_refused_by_its_name(self, v1, fake, wrong, param):
        said = await v1("chat/completions", wrong)
        assert (said.status, said.json["error"]["param"]) == (400, param)
        assert param in said.json["error"]["message"]
        assert not fake.requests

    async def test_a_stranger_has_the_status_of_a_wrong_key(self, rest):
        for path, body in (("chat/completions", {"model": "auto", "messages": [HELLO]}), ("models", None)):
            said = await rest(path, body, below="warp/v1/", headers={"Authorization": "Bearer wrong"})
            assert (said.status, said.json["error"]["code"]) == (401, "invalid_api_key")

    async def test_what_is_not_there_and_other_verbs(self, v1):
        assert (await v1("embeddings", {})).json["error"]["code"] == "NOT_FOUND"
        said = await v1("chat/completions", method="GET")
        assert (said.status, said.headers["Allow"]) == (405, "POST")
        assert said.json["error"]["type"] == "invalid_request_error"

    async def test_a_body_that_is_no_json(self, v1):
        for body in (b"", b"{", b"[]", b"\xff", b'"x"'):
            said = await v1("chat/completions", body)
            assert (said.status, said.json["error"]["type"]) == (400, "invalid_request_error"), body


class TestInASession:
    async def test_it_is_made_remembers_and_is_shared(self, chat, rest, fake):
        first = await chat({"role": "system", "content": "Be kind."}, HELLO, session="s")
        assert (first.headers["x-session-id"], first.headers["x-stream-id"]) == ("s", "s~1")
        said = await rest("prompt", {"prompt": "Who am I?", "sessionId": "s"})
        assert [message["role"] for message in fake.requests[1].messages] == ["user", "assistant", "user"]
        *stream, done = chunks(await chat({"role": "user", "content": "Again"}, session="s", stream=True))
        assert done == "[DONE]"
        assert "in message 5." in text_of(stream)
        assert [turn["prompt"] for turn in await turns(rest, "s")] == ["Hello", "Who am I?", "Again"]
        assert said.json["sessionId"] == "s"

    async def test_system_messages_are_of_the_prompt_they_come_with(self, chat, fake):
        await chat({"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, HELLO, session="s")
        await chat(HELLO, session="s")
        assert fake.requests[0].messages[0] == {"role": "system", "content": "A\n\nB"}
        assert fake.requests[1].messages[0]["role"] == "user"

    async def test_a_client_may_send_the_whole_conversation_each_time(self, chat, rest, fake):
        spoken = [HELLO]
        for prompt in ("Two", "Three", "Four"):
            said = await chat({"role": "system", "content": "S"}, *spoken, session="s")
            spoken += [answer(said), {"role": "user", "content": prompt}]
        assert [len(call.messages) for call in fake.requests] == [2, 4, 6]
        assert [turn["prompt"] for turn in await turns(rest, "s")] == ["Hello", "Two", "Three"]

    async def test_words_that_the_session_does_not_have_are_refused(self, chat, rest):
        said = answer(await chat(HELLO, session="s"))
        others = ([HELLO, {**said, "content": "Other"}], [{"role": "user", "content": "Hey"}, said], [said], [HELLO])
        for before in others:
            refused = await chat(*before, HELLO, session="s")
            assert refused.status == 400, before
            assert "x-session-id" in refused.json["error"]["message"]
        assert (await chat(HELLO, said, session="s")).status == 400  # the last word is the model's
        assert len(await turns(rest, "s")) == 1

    async def test_a_loop_of_tools_goes_on_in_it(self, chat, rest, fake):
        again = Reply(chunks=[], tools=[("weather", {"city": "Oslo"})])
        fake.script("ok", CALLED, again, Reply(chunks=["Both are fine."]))
        spoken = [{"role": "system", "content": "S"}, HELLO]
        for content in ("Sunny.", "Snow."):
            said = answer(await chat(*spoken, session="s", tools=[TOOL]))
            result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": content}
            spoken += [said, result]
        assert answer(await chat(*spoken, session="s", tools=[TOOL]))["content"] == "Both are fine."
        kept = await turns(rest, "s")
        assert [turn["prompt"] for turn in kept] == ["Hello", "", ""]
        assert [[one["content"] for one in turn["toolResults"]] for turn in kept] == [[], ["Sunny."], ["Snow."]]
        roles = [message["role"] for message in fake.requests[2].body["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]

    async def test_images_go_along(self, chat, rest, fake):
        await chat({"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}, session="s")
        (turn,) = await turns(rest, "s")
        assert (turn["prompt"], turn["attachments"][0]["mediaType"]) == ("What is it?", "image/png")
        assert fake.requests[0].body["messages"][0]["content"][1] == IMAGE

    async def test_an_id_that_is_none_is_refused(self, chat):
        said = await chat(HELLO, session="a b")
        assert (said.status, said.json["error"]["code"]) == (400, "INVALID_SESSION_ID")

    async def test_the_name_of_the_header_is_configured(self, configure, rest, chat):
        configure("ok", more='session_header = "x-conversation"')
        said = await chat(HELLO, headers={"x-conversation": "c"})
        assert said.headers["x-conversation"] == "c"
        assert len(await turns(rest, "c")) == 1


class TestAskedAgainByTheClientItself:
    """OpenAI's clients ask again by themselves where a connection broke or took too long, and say so in a header."""

    AGAIN: ClassVar = {"x-stainless-retry-count": "1"}

    async def test_an_answer_that_was_given_is_told_again(self, chat, rest, fake):
        first = await chat(HELLO, session="s")
        again = await chat(HELLO, session="s", headers=self.AGAIN)
        assert answer(again) == answer(first)
        assert again.json["id"] == first.json["id"]
        assert len(await turns(rest, "s")) == len(fake.requests) == 1
        await chat(HELLO, session="s")  # of the user's own will
        assert len(await turns(rest, "s")) == 2

    async def test_one_that_is_being_given_is_followed(self, chat, rest, fake, open_stream):
        fake.script("ok", Reply(chunks=["One ", Fault.SILENT, "two"]))
        body = {"model": "auto", "messages": [HELLO]}
        headers = {"x-session-id": "s"}
        left = await open_stream(body, "chat/completions", below="warp/v1/", headers=headers)
        await fake.until(lambda: fake.requests and fake.requests[0].sent > 1)
        left.leave()
        again = asyncio.ensure_future(chat(HELLO, session="s", headers=self.AGAIN))
        await asyncio.sleep(0)
        fake.release()
        assert answer(await again)["content"] == "One two"
        assert len(await turns(rest, "s")) == len(fake.requests) == 1

    async def test_one_that_waits_for_its_turn_is_waited_for(self, chat, rest, fake, jp_serverapp):
        fake.script("ok", Reply(chunks=["First.", Fault.SILENT]), Reply(chunks=["Second."]))
        first = asyncio.ensure_future(chat({"role": "user", "content": "Slow"}, session="s"))
        await fake.until(lambda: fake.requests)
        endpoints = await jp_serverapp.web_app.settings["warp_endpoints"]()
        tries = [asyncio.ensure_future(chat(HELLO, session="s"))]
        async with asyncio.timeout(10):
            while len(endpoints.askings._open) < 2:  # noqa: ASYNC110 - its first try is in line
                await asyncio.sleep(0.001)
        tries.append(asyncio.ensure_future(chat(HELLO, session="s", headers=self.AGAIN)))
        done, _ = await asyncio.wait(tries, timeout=0.2)
        assert not done
        fake.release()
        assert [answer(await one)["content"] for one in (first, *tries)] == ["First.", "Second.", "Second."]
        assert len(await turns(rest, "s")) == len(fake.requests) == 2

    async def test_one_that_failed_is_asked_for_in_its_place(self, chat, rest, fake):
        fake.script("ok", Reply.failing(503), Reply(chunks=["Yes."]))
        assert (await chat(HELLO, session="s")).status == 502
        assert answer(await chat(HELLO, session="s", headers=self.AGAIN))["content"] == "Yes."
        assert [turn["status"] for turn in await turns(rest, "s")] == ["complete"]

    async def test_in_a_loop_of_tools_too(self, chat, rest, fake):
        fake.script("ok", CALLED, Reply(chunks=["Fine."]))
        said = answer(await chat(HELLO, session="s", tools=[TOOL]))
        spoken = [HELLO, said, {"role": "tool", "tool_call_id": "call_0", "content": "Sunny."}]
        for headers in ({}, self.AGAIN):
            assert answer(await chat(*spoken, session="s", headers=headers, tools=[TOOL]))["content"] == "Fine."
        assert len(await turns(rest, "s")) == len(fake.requests) == 2

    async def test_what_is_new_is_asked(self, chat, rest):
        await chat(HELLO, session="s")
        await chat({"role": "user", "content": "Other"}, session="s", headers=self.AGAIN)
        await chat(HELLO, session="t", headers=self.AGAIN)
        assert (len(await turns(rest, "s")), len(await turns(rest, "t"))) == (2, 1)

    async def test_an_idempotency_key_says_it_better(self, chat, rest, fake):
        for _ in range(2):
            said = await chat(HELLO, session="s", headers={"Idempotency-Key": "mine"})
        assert said.json["id"] == "chatcmpl-mine"
        assert len(await turns(rest, "s")) == len(fake.requests) == 1


async def test_a_refusal_that_says_nothing_is_a_message_without_words(chat, fake):
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": ""}, {"type": "text", "text": "No."}]}
    assert (await chat(HELLO, refusal, HELLO)).status == 200
    assert "No." in json.dumps(fake.requests[-1].body["messages"][1])


class TestInASessionThatOthersUseToo:
    """What a client knows of a session and what the session has come apart in the ways of real life."""

    BROKEN: ClassVar = [Reply(chunks=["Par", Fault.CUT]), Reply(chunks=["Other", Fault.CUT])]

    async def test_after_an_answer_that_broke_off_it_is_asked_in_its_place(self, chat, rest, fake):
        said = answer(await chat(HELLO, session="s"))
        two = {"role": "user", "content": "Two"}
        fake.script("ok", *self.BROKEN, Reply(chunks=["Whole."]))
        *_, last = chunks(await chat(HELLO, said, two, session="s", stream=True))
        assert "error" in last
        assert answer(await chat(HELLO, said, two, session="s"))["content"] == "Whole."
        kept = await turns(rest, "s")
        assert [(turn["prompt"], turn["status"]) for turn in kept] == [("Hello", "complete"), ("Two", "complete")]
        assert len((await rest("sessions/s")).json["branches"]) == 1, "the part that broke off is not lost"

    async def test_the_beginning_of_an_answer_that_was_left_is_the_answer(self, chat, rest):
        said = answer(await chat(HELLO, session="s"))
        part = {"role": "assistant", "content": said["content"][:9]}
        assert (await chat(HELLO, part, {"role": "user", "content": "Two"}, session="s")).status == 200
        assert (await turns(rest, "s"))[0]["response"] == said["content"]

    async def test_a_conversation_that_is_older_than_its_session_goes_along_with_it(self, chat, rest, fake):
        older = [{"role": "user", "content": "Before"}, {"role": "assistant", "content": "Long ago."}]
        said = answer(await chat(*older, HELLO, session="s"))
        assert answer(await chat(*older, HELLO, said, {"role": "user", "content": "Two"}, session="s"))
        for call, count in zip(fake.requests, (3, 5), strict=True):
            assert len(call.messages) == count
            assert [message["content"] for message in call.messages[:2]] == ["Before", "Long ago."]
        assert [turn["prompt"] for turn in await turns(rest, "s")] == ["Hello", "Two"]

    async def test_what_others_have_asked_since_is_not_undone_by_a_retry(self, chat, rest, fake):
        fake.script("ok", Reply.failing(503), Reply(chunks=["Theirs."]), Reply(chunks=["Mine."]))
        assert (await chat(HELLO, session="s")).status == 502
        await rest("prompt", {"prompt": "Meanwhile", "sessionId": "s"})
        again = {"x-stainless-retry-count": "1"}
        assert answer(await chat(HELLO, session="s", headers=again))["content"] == "Mine."
        assert [turn["response"] for turn in await turns(rest, "s") if turn["response"]] == ["Theirs.", "Mine."]

    async def test_three_tries_end_with_the_one_that_was_answered(self, chat, rest, fake):
        fake.script("ok", Reply.failing(503), Reply(chunks=["Yes."]))
        statuses = [
            (await chat(HELLO, session="s", headers={"x-stainless-retry-count": str(n)})).status for n in range(3)
        ]
        assert statuses == [502, 200, 200]
        assert [turn["response"] for turn in await turns(rest, "s")] == ["Yes."]

    async def test_the_same_words_asked_on_purpose_are_asked_though_the_first_try_never_came(self, chat, rest, fake):
        for prompt in ("Another joke", "Something else"):
            await chat({"role": "user", "content": prompt}, session="s")
        again = {"x-stainless-retry-count": "1"}
        await chat({"role": "user", "content": "Another joke"}, session="s", headers=again)
        assert len(await turns(rest, "s")) == len(fake.requests) == 3

    async def test_an_answer_that_is_told_again_is_told_whatever_came_after_it(self, chat, rest, fake, open_stream):
        said = answer(await chat(HELLO, session="s"))
        body = {"model": "auto", "messages": [HELLO, said, {"role": "user", "content": "Two"}]}
        fake.script("ok", Reply(chunks=["Two ", Fault.SILENT, "it is."]))
        left = await open_stream(body, "chat/completions", below="warp/v1/", headers={"x-session-id": "s"})
        await fake.until(lambda: len(fake.requests) == 2 and fake.requests[1].sent > 1)
        left.leave()
        await rest("health/live")  # by when the server has seen that it left
        fake.release()
        await rest("prompt", {"prompt": "Meanwhile", "sessionId": "s", "models": ["fake:ok@other"]})
        again = {"x-stainless-retry-count": "1"}
        assert answer(await chat(*body["messages"], session="s", headers=again))["content"] == "Two it is."
        assert [turn["prompt"] for turn in await turns(rest, "s")] == ["Hello", "Two", "Meanwhile"]

    async def test_an_answer_begun_anew_is_not_told_twice_over(self, chat, fake, rest):
        fake.script("ok", Reply(chunks=["Partial ", Fault.CUT]), Reply(chunks=["Whole answer."]))
        key = {"Idempotency-Key": "mine"}
        assert answer(await chat(HELLO, session="s", headers=key))["content"] == "Whole answer."
        *stream, last = chunks(await chat(HELLO, session="s", headers=key, stream=True))
        assert "error" in last
        assert text_of(stream) == "Partial "

    async def test_calls_are_told_again_where_their_log_has_expired(self, configure, chat, rest, fake):
        configure("ok", storage='type = "memory"\nstream_expiration = "50ms"')
        fake.script("ok", CALLED)
        key = {"Idempotency-Key": "mine"}
        await chat(HELLO, session="s", headers=key, tools=[TOOL])
        async with asyncio.timeout(10):
            while (await rest("streams/s~1")).status != 404:  # noqa: ASYNC110 - a store's clock has no event
                await asyncio.sleep(0.02)
        *stream, _ = chunks(await chat(HELLO, session="s", headers=key, tools=[TOOL], stream=True))
        assert [d["function"]["name"] for c in stream for d in c["choices"][0]["delta"].get("tool_calls", ())] == [
            "weather"
        ]


class TestWhatClientsSendBack:
    @pytest.mark.parametrize(
        "extra",
        [
            {"message": "x"},
            {"call": 1},
            {"call": {"type": "evil", "id": "c2"}},
            {"message": {"role": "system"}},
            {"message": []},
        ],
    )
    async def test_what_was_not_ours_changes_no_message_and_no_models_health(self, chat, v1, rest, fake, extra):
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        told = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{**call, "extra_content": {"provider": "fake", "extra": extra}}],
        }
        result = {"role": "tool", "tool_call_id": "c1", "content": "Rain."}
        assert (await chat(HELLO, told, result, tools=[TOOL])).status == 200
        sent = fake.requests[0].body["messages"][1]
        assert (sent["role"], [(one["id"], one["type"]) for one in sent["tool_calls"]]) == (
            "assistant",
            [("c1", "function")],
        )
        assert [one["state"] for one in (await rest("models")).json["models"]] == ["ready"]

    async def test_what_no_model_can_be_told_is_the_callers_fault(self, chat, rest, configure, fake):
        configure(
            "ok",
            more='[providers.claude]\ndialect = "anthropic"\nbase_url = "http://127.0.0.1:9"\napi_key = "k-k-k-k-k"',
        )
        wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": 1}}}
        said = await chat(HELLO, model="claude:claude-sonnet-4-5", response_format=wrong)
        assert (said.status, said.json["error"]["code"]) == (400, "PROVIDER_FORMAT_ERROR")
        assert all(one["state"] == "ready" for one in (await rest("models")).json["models"])
        assert not fake.requests

    async def test_what_is_null_was_not_given(self, chat, fake):
        nothing = dict.fromkeys(("top_logprobs", "functions", "audio", "web_search_options", "temperature", "tools"))
        assert (await chat(HELLO, **nothing, stream_options={"include_usage": None})).status == 200

    async def test_an_image_keeps_how_closely_it_is_to_be_looked_at(self, chat, fake):
        url = {"url": f"data:image/jpg;base64,{PIXEL}", "detail": "low"}
        assert (await chat({"role": "user", "content": [{"type": "image_url", "image_url": url}]})).status == 200
        (part,) = fake.requests[0].body["messages"][0]["content"]
        assert part["image_url"] == {"url": f"data:image/jpeg;base64,{PIXEL}", "detail": "low"}
