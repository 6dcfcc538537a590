"""What Tab offers in a line."""

import pytest

from warp_magics.completion import completions
from warp_magics.grammar import COMMANDS, OPTIONS

OFFERS = {
    "models": lambda: ["openai:gpt-4o", "openai:o4", "fast"],
    "sessions": lambda: ["analysis", "draft"],
    "variables": lambda: ["df", "data", "x"],
    "settings": lambda: ["route_line", "attach_tokens"],
}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%%warp --se", ["--seed", "--session"]),
        ("%%warp --session ", ["analysis", "draft"]),
        ("%%warp --session=a", ["--session=analysis"]),
        ("%%warp -s d", ["draft"]),
        ("%%warp -s draft -m ", ["fast", "openai:gpt-4o", "openai:o4"]),
        ("%%warp -m openai:g", ["openai:gpt-4o"]),
        ("%%warp -f ", ["code", "html", "json", "markdown", "math", "text"]),
        ("%%warp --on-break s", ["splice"]),
        ("%%warp -a d", ["data", "df"]),
        ("%%warp -c @d", ["@data", "@df"]),
        ("%%warp -c Be", []),
        ("%%warp -t ", []),
        ("%%warp zzz", []),
        ("%%warp", []),
        ("%warp", []),
        ("%warp re", ["rename", "resume", "rewind"]),
        ("%warp use ", ["analysis", "draft"]),
        ("%warp use draft ", []),
        ("%warp usage ", ["day", "model", "session"]),
        ("%warp config r", ["route_line"]),
        ("%warp fork draft --", ["--at"]),
        ("%warp export draft f.md --f", ["--force"]),
        ("%warp nosuch ", []),
    ],
)
def test_what_is_offered(line, offered):
    assert completions(line, OFFERS) == offered


def test_all_options_and_all_sub_commands():
    assert completions("%%warp ", OFFERS) == sorted(one.names[-1] for one in OPTIONS)
    assert completions("%warp ", OFFERS) == sorted(name for name in COMMANDS if name)


def test_nothing_is_looked_up_that_is_not_offered():
    assert completions("%%warp --m", {}) == ["--max-tokens", "--model"]
