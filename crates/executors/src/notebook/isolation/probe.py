"""Tries what a process in isolation must not be able to do. The last line on standard output says what it could,
or `held`. Arguments: a file outside that holds a secret, the process that started this one, a folder of its own, and
the port of a server on the machine's loopback that it must not reach (0: it may)."""

import os
import socket
import subprocess
import sys

canary, worker, folder, port = sys.argv[1:]
environment = f"/proc/{worker}/environ"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, mode):
    with open(path, mode) as file:
        file.write(b"!")


def could(act, *arguments):
    try:
        return act(*arguments)
    except OSError:
        return None


def main():
    os.chdir(folder)
    write("own", "wb")
    subprocess.run([sys.executable, "-I", "-c", "import socket"], check=True, stdin=subprocess.DEVNULL)
    if could(read, canary):
        return "a process in it can read files outside"
    # Where processes are numbered anew, another may have that number, this one even.
    if could(read, environment) not in (None, b"", read("/proc/self/environ")):
        return "a process in it can read the worker's environment"
    # Root's number is enough for that where nothing forbids it.
    if could(open, "/proc/sys/kernel/core_pattern", "r+b"):
        return "a process in it can change the kernel's settings"
    if port != "0" and could(socket.create_connection, ("127.0.0.1", int(port)), 5):
        return "a process in it can reach servers on the machine's loopback"
    # By this, virtual machines talk to their hosts.
    if could(socket.socket, getattr(socket, "AF_VSOCK", 40), socket.SOCK_STREAM):
        return "a process in it can make sockets of other families"
    # Whether these did anything is looked at from outside.
    could(write, canary, "ab")
    could(write, canary + ".new", "wb")
    could(os.truncate, canary, 0)
    return "held"


print(main())
