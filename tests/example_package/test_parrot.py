import json

import pytest
from warp_magics_example import PHRASES, Parrot

from warp_magics.gateway import Conversation, Decoder, Message, Model, Parameters, Reasoning, Result, Text, errors

ANSWER = """\
: any line that begins with a colon is a comment

event: thought
data: {"says": "A greeting."}

event: says
data: {"says": "Grüß "}

event: says
data: {"says":
data:  "Gott!"}

event: a-kind-of-next-year
data: {}

event: call
data: {"n": 0, "id": "c1", "tool": "weather", "input": "{\\"in\\": "}

event: call
data: {"n": 0, "input": "\\"Wien\\"}"}

event: end
data: {"why": "calls", "tokens": {"in": 12, "out": 5}}

""".encode()


def read(*pieces):
    lines, answer = Decoder(), Parrot().decoder()
    events = [event for piece in pieces for one in lines.feed(piece) for event in answer.feed(one)]
    return [*events, *answer.end()]


def test_an_answer_says_all_that_was_sent():
    thought, *words, call, ended = read(ANSWER)
    assert thought == Reasoning("A greeting.")
    assert words == [Text("Grüß "), Text("Gott!")]
    assert (call.call.name, call.call.arguments) == ("weather", '{"in": "Wien"}')
    assert ended.response.result is Result.TOOL_CALLS
    assert ended.response.usage.input_tokens == 12


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_it_is_the_same_wherever_it_is_cut(line_end):
    wire = ANSWER.replace(b"\n", line_end)
    for cut in range(len(wire) + 1):
        assert read(wire[:cut], wire[cut:]) == read(ANSWER)


def test_an_answer_without_its_end_is_broken():
    with pytest.raises(errors.StreamBroken):
        read(ANSWER[: ANSWER.index(b"event: end")])


def test_a_spoilt_event_is_skipped_and_told_of():
    *events, ended = read(b"event: says\ndata: {oops\n\n" + ANSWER)
    assert events == read(ANSWER)[:-1]
    assert "malformed" in ended.response.warnings[0]


def test_an_error_in_mid_stream_is_raised():
    with pytest.raises(errors.RateLimited, match="Too fast"):
        read(b'event: error\ndata: {"code": "slow_down", "message": "Too fast."}\n\n')


def test_an_answer_in_one_piece():
    body = {"says": "Hello!", "why": "done", "tokens": {"in": 3, "out": 1}}
    text, ended = Parrot().decode(json.dumps(body).encode())
    assert text == Text("Hello!")
    assert ended.response.result is Result.COMPLETE


def test_the_request_and_what_was_left_out():
    asked = Conversation(Model("parrot", "grey"), (Message("user", "Hello"),), Parameters(seed=7, temperature=0.0))
    request = Parrot().encode(asked, "a-key")
    assert json.loads(request.body) == {
        "model": "grey",
        "turns": [{"who": "guest", "says": "Hello", "calls": []}],
        "temperature": 0.0,
        "stream": True,
    }
    assert request.headers["x-parrot-key"] == "a-key"
    assert request.warnings == ("seed was left out: parrot has no word for it",)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b'{"code": "slow_down"}', errors.RateLimited),
        (429, b'{"code": "no_credit"}', errors.QuotaExceeded),
        (400, b"not JSON", errors.RequestRefused),
        (503, b"", errors.ProviderFault),
    ],
)
def test_a_refusal_means(status, body, kind):
    assert type(Parrot().error(status, {}, body)) is kind


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_means_what_its_sample_says(phrase):
    body = json.dumps({"message": phrase.sample}).encode()
    assert type(Parrot().error(400, {}, body)) is phrase.kind


def test_how_long_to_wait():
    assert Parrot().error(429, {"retry-after": "7"}, b"").retry_after == 7
