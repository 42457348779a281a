"""This process and those that it is the ancestor of."""

import asyncio
import ctypes
import os
import signal
import time

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


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
