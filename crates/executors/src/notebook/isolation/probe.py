"""Tries what a process in isolation must not be able to do. The last line on standard output says what it could,
or `held`. Arguments: a file outside that holds a secret, the process that started this one, and a folder of its own."""

import os
import subprocess
import sys

canary, worker, folder = sys.argv[1:]
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
    # Whether these did anything is looked at from outside.
    could(write, canary, "ab")
    could(write, canary + ".new", "wb")
    could(os.truncate, canary, 0)
    return "held"


print(main())
