"""Keys that a server reads and its kernels and terminals do not get: taken out of the environment they inherit.

Done at the server's start, so nothing here is slow to load, and the file is looked at without being judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from .finding import find, is_camel, parsed, server_says
from .providers import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping, Sequence
    from pathlib import Path

_NAMED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAMED_IN_JSON: Final = re.compile(r"\$?\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SAYS_NO: Final = re.compile(r"^[^#\n]*\b(?:hide_keys|hideKeys)[\"']?\s*[=:]\s*false\b", re.MULTILINE)
_NEEDED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|USERNAME|USERPROFILE|HOSTNAME|SHELL|PWD|TZ|LANG|LANGUAGE|TERM|DISPLAY|TMPDIR|TEMP|TMP"
    r"|APPDATA|LOCALAPPDATA|SYSTEMROOT|COMSPEC|PATHEXT|VIRTUAL_ENV|(?:HTTPS?|ALL|NO)_PROXY|SSL_CERT_(?:FILE|DIR)"
    r"|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|WARP_(?:CONFIG|DATA_DIR|RUN_DIR|SERVER_ID|KEYS_HIDDEN)"
    r"|(?:LC|XDG|JPY|CONDA)_\w+|(?:JUPYTER|PYTHON|IPYTHON)\w*",
    re.IGNORECASE,
)
"""Variables that stay although a file names them: without them kernels do not run, or find neither files nor network."""


class Environment(Mapping[str, str]):
    """``env`` as it is now, and with what was ``taken`` out of it. Its repr shows no value."""

    def __init__(self, env: Mapping[str, str], taken: Mapping[str, str]) -> None:
        self._env, self._taken = env, dict(taken)

    @property
    def all_taken(self) -> Mapping[str, str]:
        """What was taken, with its values."""
        return self._taken

    @property
    def taken(self) -> tuple[str, ...]:
        """The names of what was taken."""
        return tuple(sorted(self._taken))

    def __getitem__(self, name: str) -> str:
        return self._env[name] if name in self._env else self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._taken, **self._env})

    def __len__(self) -> int:
        return len({**self._taken, **self._env})

    def __repr__(self) -> str:
        return f"Environment(taken={self.taken})"


def hide_keys(
    env: MutableMapping[str, str], path: Path | None, folders: Sequence[Path], before: Environment | None = None
) -> Environment | None:
    """Take keys out of ``env`` where the file says so or does not say; None where there is no file or it says no.

    What was taken ``before`` is kept beside them.

    Taken is every provider's key variable and each variable that the file names, but for those that kernels need. A file
    that cannot be read or parsed hides, unless it plainly says ``hide_keys = false``.
    """
    source = find(path, folders, env)
    if source is None:
        return None
    camel = is_camel(source)
    text = _text(source)
    if not _hides(text, env, camel=camel):
        return None
    keys = {variable for row in rows().providers.values() for variable in row.keys}
    named = {name for name in (_NAMED_IN_JSON if camel else _NAMED).findall(text) if not _NEEDED.fullmatch(name)}
    taken = {name: env.pop(name) for name in sorted(keys | named) if name in env}
    return Environment(env, {**(before.all_taken if before else {}), **taken})


def _text(source: Path) -> str:
    try:
        return source.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError:  # whoever loads the file says what is wrong with it
        return ""


def _hides(text: str, env: Mapping[str, str], *, camel: bool) -> bool:
    try:
        document = parsed(text, camel=camel)
    except (ValueError, RecursionError):
        return not _SAYS_NO.search(text)
    said = server_says(document, "hideKeys" if camel else "hide_keys")
    variable = _NAMED_IN_JSON.fullmatch(said) if isinstance(said, str) else None
    return said is not False and not (variable and env.get(variable[1]) == "false")
