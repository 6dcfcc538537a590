"""Stops the embedded server when its last client is gone, however that client ended.

`embedded` runs this file as a script without site-packages (``python -I -S keeper.py``), so it imports the
standard library alone; the three functions that both need are here. Every client holds a shared flock on one
file; the keeper waits for the exclusive one. While it has that, nobody can attach, so nothing can be lost.
"""

from __future__ import annotations

import os
import socket
import sys

if sys.platform != "win32":
    import fcntl

_SHUTDOWN_TIMEOUT = 30.0


def lock(path: str, how: int) -> int | None:
    """Take the flock ``how`` on the file at ``path`` (made where missing); its descriptor, which is the lock, returns.

    None where ``how`` has LOCK_NB and another holds it. Raises OSError where the file cannot be opened or locked.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, how)
            if is_at(fd, path):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # a cleaner of /tmp removed the file while we waited: its lock means nothing now


def is_at(fd: int, path: str) -> bool:
    """Tell whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))  # noqa: PTH116 - see main
    except FileNotFoundError:
        return False


def ask(path: str, command: str, timeout: float) -> str:
    """Send one command to the server at the socket ``path``; its reply, or "" where it hung up, returns.

    ``timeout`` is in seconds, for each step. Raises OSError: nobody is there, or no answer in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout)
        link.connect(path)
        link.sendall(f"{command}\r\n".encode())
        with link.makefile("rb") as reply:
            line = reply.readline().decode().rstrip()
            return reply.read(int(line[1:])).decode() if line.startswith("$") else line


def shut_down(path: str, timeout: float) -> bool:
    """Have the server at the socket ``path`` write out its data and exit; False where there was none.

    Raises OSError where it refuses or does not hang up within ``timeout`` seconds.
    """
    try:
        refusal = ask(path, "SHUTDOWN", timeout)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except ConnectionError:
        refusal = ""  # it was already on its way out
    if refusal:
        raise OSError(f"the server at {path} did not stop: {refusal}")
    return True


def main(place: int, clients: str, server: str, keep: str) -> None:
    """Wait until no client is left, then stop the server unless the file ``keep`` is there.

    ``place`` is the descriptor of the lock that makes this the only keeper; the caller took it.
    """
    if child := os.fork():
        os.ftruncate(place, 0)
        os.pwrite(place, str(child).encode(), 0)
        return  # the parent goes so that no client has a child to wait for
    alone = lock(clients, fcntl.LOCK_EX)
    try:
        if not os.path.exists(keep):  # noqa: PTH110 - pathlib would add to the memory it takes
            shut_down(server, _SHUTDOWN_TIMEOUT)
    finally:
        os.close(place)  # first: whoever attaches after this must find that there is no keeper
        if alone is not None:
            os.close(alone)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
