"""This process and those that it is the ancestor of."""

import asyncio
import ctypes
import json
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


class Process:
    def __init__(self, parent, stopped, began):
        self.parent, self.stopped, self.began = parent, stopped, began


def descendants():
    """All that this process is the ancestor of, by id."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] != b"Z":
            found[int(name)] = Process(int(fields[1]), fields[0] in (b"T", b"t"), int(fields[19]))
    family = {os.getpid()}
    while grown := {pid for pid, process in found.items() if process.parent in family} - family:
        family |= grown
    return {pid: found[pid] for pid in family - {os.getpid()}}


def follow_worker(worker, suspension):
    """Hears until when the notebook may go on; when the worker has ended, nothing is left behind."""
    try:
        for line in worker:
            suspension.renew(json.loads(line))
    finally:
        # The last line may have been cut short.
        end_all()


def end_all():
    """Ends all that this process started, and then itself."""
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
