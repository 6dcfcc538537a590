import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_magics.gateway import sse
from warp_magics.gateway.sse import Decoder, ServerSentEvent, comment, encode

NEWLINES = (b"\n", b"\r\n", b"\r")
ONE_LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",)), max_size=12)
DATA = st.text(st.characters(exclude_characters="\r", exclude_categories=("Cs",)), max_size=30)
EVENTS = st.lists(st.builds(ServerSentEvent, DATA, ONE_LINE, ONE_LINE.filter(bool)), max_size=6)


def fed(*chunks):
    decoder = Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def byte_by_byte(raw):
    return fed(*(raw[at : at + 1] for at in range(len(raw))))


def written(events, newline=b"\n"):
    raw = b"".join(encode(one.data, event=one.event, id=one.id) for one in events)
    return raw.replace(b"\n", newline)


@given(EVENTS, st.sampled_from(NEWLINES), st.data())
def test_any_events_come_through_any_cut(events, newline, data):
    raw = written(events, newline)
    assert fed(raw) == byte_by_byte(raw) == events
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert fed(*pieces) == events


@pytest.mark.parametrize("newline", NEWLINES)
def test_every_single_cut_of_a_rich_stream_decodes_the_same(newline):
    events = [ServerSentEvent("Grüße 🌍\nzweite", "content", "1-1"), ServerSentEvent("", "end", "1-2")]
    raw = b"\xef\xbb\xbf" + written(events, newline).replace(b"data: zweite", b"data:zweite")
    raw = raw.replace(b"event: end", b": ping" + newline + b"retry: 10" + newline + b"event: end")
    for cut in range(len(raw) + 1):
        assert fed(raw[:cut], raw[cut:]) == events
    assert byte_by_byte(raw) == events


@given(st.binary(max_size=200), st.data())
def test_no_cut_changes_what_any_bytes_mean(raw, data):
    cut = data.draw(st.integers(0, len(raw)))
    assert fed(raw) == fed(raw[:cut], raw[cut:]) == byte_by_byte(raw)


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\n", [ServerSentEvent("a")]),
        (b"data:a\ndata: b\ndata:  c\n\n", [ServerSentEvent("a\nb\n c")]),
        (b"data\n\n", [ServerSentEvent("")]),
        (b"data: lost: no blank line\n", []),
        (b"data: a\n\ndata: lost", [ServerSentEvent("a")]),
        (b"event: only\n\ndata: a\n\n", [ServerSentEvent("a")]),
        (b": ping\n\n: ping\n\n", []),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [ServerSentEvent("a", "", "7"), ServerSentEvent("b", "", "7")]),
        (b"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n", [ServerSentEvent("a", "", "7"), ServerSentEvent("b", "", "7")]),
        (b"unknown: x\nretry: 1\nDATA: x\ndata: a\n\n", [ServerSentEvent("a")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [ServerSentEvent("a")]),
        (b"data: \xff\n\n", [ServerSentEvent("\ufffd")]),
        (b"data: a\r\rdata: b\r\n\ndata: c\n\r", [ServerSentEvent("a"), ServerSentEvent("b"), ServerSentEvent("c")]),
        (b"", []),
    ],
)
def test_what_the_standard_says_of(raw, events):
    assert fed(raw) == byte_by_byte(raw) == events


def test_an_event_is_there_as_soon_as_its_last_byte_is():
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\r") == [ServerSentEvent("a")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: b\r\n\r") == [ServerSentEvent("b")]


@pytest.mark.parametrize("pieces", [[b"data: " + b"x" * 101], [b"data: " + b"x" * 60 + b"\n"] * 2])
def test_a_line_or_event_without_end_does_not_fill_the_memory(monkeypatch, pieces):
    monkeypatch.setattr(sse, "MAX_PENDING", 100)
    with pytest.raises(ValueError, match="too long"):
        fed(*pieces)


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("field", ["event", "id"])
def test_a_name_or_id_cannot_smuggle_in_another_field(field, bad):
    with pytest.raises(ValueError, match="one line"):
        encode("x", **{field: bad})


@pytest.mark.parametrize("data", ["a\n\nevent: end\ndata: b", "a\r\revent: end", "a\r\n\r\nid: 9"])
def test_data_cannot_smuggle_in_another_event(data):
    (event,) = fed(encode(data, event="content", id="1-1"))
    assert (event.event, event.id) == ("content", "1-1")
    assert event.data.split() == data.split()


def test_the_bytes_are_what_ai_warps_client_cuts_apart():
    assert (
        encode('{"response":"a"}', event="content", id="1-1") == b'event: content\nid: 1-1\ndata: {"response":"a"}\n\n'
    )
    assert encode("a") == b"data: a\n\n"
    assert comment("ping") == b": ping\n\n"
