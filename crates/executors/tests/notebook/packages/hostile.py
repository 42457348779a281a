"""Builds a wheel, and tries meanwhile what neither a build nor a notebook may do. A notebook executes it, too.

FIXTURE, WORKER, OWN_SERVER, SERVER, CLOSED_PORT, MARK and LINGERS are put before this.
"""

import glob
import os
import socket
import subprocess
import sys
import time
import zipfile


def connect(port, host="127.0.0.1"):
    with socket.create_connection((host, port), 5) as connection:
        if not connection.recv(10):
            raise OSError("closed at once")


def connect_by_proxy(port):
    host, _, own = os.environ.get("http_proxy", "http://127.0.0.1:1").removeprefix("http://").partition(":")
    with socket.create_connection((host, int(own)), 5) as connection:
        connection.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (port, port))
        if b" 200 " not in connection.recv(100):
            raise OSError("refused")


def environments_of_others():
    for name in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(name, "rb") as file:
                if b"CARGO_MANIFEST_DIR" in file.read():
                    return
        except OSError:
            pass
    raise OSError("none found")


def hold_a_lifeline():
    """Whoever waits for the worker's end waits for this one's, too, where this can be done."""
    process = os.getppid()
    while process > 0:
        try:
            if os.readlink(f"/proc/{process}/fd/0").startswith("pipe:"):
                return os.open(f"/proc/{process}/fd/0", os.O_WRONLY)
            with open(f"/proc/{process}/stat", "rb") as file:
                process = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            break
    raise OSError("none found")


def make(name, mode):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, mode))


def set_user_id():
    make("plain", 0o755)
    os.chmod("plain", 0o4755)


ATTEMPTS = {
    "the worker's files": lambda: open(f"{FIXTURE}/canary").read(),
    "packages of others": lambda: open(f"{FIXTURE}/wheels/evil-1-py3-none-any.whl", "w"),
    "environments of others": lambda: open(f"{FIXTURE}/environments/{'0' * 32}/env/bin/python", "w"),
    "passwords": lambda: open("/etc/shadow").read(),
    "the worker's variables": environments_of_others,
    "the worker's memory": lambda: open(f"/proc/{WORKER}/mem", "rb"),
    "the worker's life": lambda: os.kill(WORKER, 0),
    "a lifeline": hold_a_lifeline,
    "a program that is run as its owner": set_user_id,
    "the same at once": lambda: make("at once", 0o4755),
    "the worker's own server": lambda: connect(OWN_SERVER),
    "the same by the proxy": lambda: connect_by_proxy(OWN_SERVER),
    "the same by a name": lambda: connect(OWN_SERVER, "localhost"),
    "a closed port": lambda: connect(CLOSED_PORT),
    # Open where the network is the machine's: Landlock knows no addresses.
    "a server of the machine": lambda: connect(SERVER),
}


def tried():
    found = {}
    for name, act in ATTEMPTS.items():
        try:
            act()
            found[name] = "done"
        except OSError:
            found[name] = "refused"
    return found


def leave_processes():
    """In sessions of their own, with empty environments, deaf to signals; the second one is nobody's child."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000); " + repr(MARK)
    # Whoever builds waits for all that has its output.
    away = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env={}, **away)
    if os.fork() == 0:
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env={}, **away)
        os._exit(0)
    os.wait()


def build_wheel(folder, settings=None, metadata=None):
    found = tried()
    leave_processes()
    if LINGERS:
        time.sleep(1000)
    info = "hostile-1.dist-info/"
    with zipfile.ZipFile(f"{folder}/hostile-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("hostile.py", f"FOUND = {found!r}")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "")
    return "hostile-1-py3-none-any.whl"
