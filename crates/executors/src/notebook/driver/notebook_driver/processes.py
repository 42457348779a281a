"""This process and those that it is the ancestor of."""

import asyncio
import ctypes
import os
import signal
import struct
import time

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2


def set_process_option(option, value):
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # Not Linux: the worker finds what is left by other ways.


def contain():
    """Makes every process that a cell leaves behind this one's child."""
    set_process_option(PR_SET_CHILD_SUBREAPER, 1)


def shut_out_the_notebook():
    """Keeps this process's pipes from the notebook's, which otherwise may open them by /proc/<pid>/fd: who held
    standard input open would outlive the worker."""
    set_process_option(PR_SET_DUMPABLE, 0)
    keep_the_notebook_visible()


def keep_the_notebook_visible():
    """What this process starts can't do the same: the worker must see what it has open and mapped, to count it."""
    number = {"x86_64": 157, "aarch64": 167, "riscv64": 167}.get(os.uname().machine)
    if number is None:
        return
    steps = [  # (code, true, false, value), of struct seccomp_data: nr is at 0, the first argument at 16.
        (0x20, 0, 0, 0),  # ld nr
        (0x54, 0, 0, 0xBFFFFFFF),  # and: x32's second numbers
        (0x15, 0, 3, number),  # jne allow
        (0x20, 0, 0, 16),  # ld args[0]
        (0x15, 0, 1, PR_SET_DUMPABLE),  # jne allow
        (0x06, 0, 0, 0x50001),  # ret SECCOMP_RET_ERRNO | EPERM
        (0x06, 0, 0, 0x7FFF0000),  # ret SECCOMP_RET_ALLOW
    ]
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(buffer)))
    try:
        # Without isolation this is refused: privileges are not given up there.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)
    except (OSError, AttributeError):
        pass


def descendants():
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            parents[int(name)] = int(parent)
    family = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return family - {os.getpid()}


def follow_worker():
    """Waits for the worker's end, and then leaves nothing behind."""
    while os.read(0, 4096):
        pass
    until = time.monotonic() + 10
    while (family := descendants()) and time.monotonic() < until:
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
    os._exit(1)


async def reap(client):
    """Ends what cells left behind and what died: it is this process's child, and would pile up."""
    while True:
        await asyncio.sleep(0.5)
        while client.kernel:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if dead is None or dead.si_pid == client.kernel:
                break
            os.waitpid(dead.si_pid, 0)
