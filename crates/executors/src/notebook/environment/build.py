"""Builds one Python environment for Isochrone, in the sandbox that notebooks have.

The job comes as one JSON line on standard input, which then stays open for as long as the worker lives. What is done
goes out line by line as JSON: {"line": ...} for people, and at the end {"failed": STEP, "lines": [...]} or
{"done": [[name, version], ...]}. Then this process waits for the worker to end it and whatever it has started.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading

PR_SET_CHILD_SUBREAPER = 36
KEPT = 30
LONGEST_LINE = 2_000
CHECK = """
import importlib.metadata, json, nbclient, ipykernel
found = {(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()}
print(json.dumps(sorted(map(list, found))))
"""


class Failed(Exception):
    """A step failed; its last lines say why."""

    def __init__(self, step, lines):
        super().__init__(step)
        self.step, self.lines = step, lines


def emit(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def follow_worker():
    while os.read(0, 4096):
        pass
    try:
        os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(1)


def run(step, *command, tell=True):
    """Passes its lines on as they come."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
    )
    last = []
    for line in process.stdout:
        line = line.rstrip()[: LONGEST_LINE if tell else None]
        if line.strip():
            last = [*last, line][-KEPT:]
            if tell:
                emit(line=line)
    if process.wait() != 0:
        raise Failed(step, last or [f"it ended with {process.returncode} and without a word"])
    return last


def installer(job, python):
    if job["uv"]:
        command = [job["uv"], "pip", "install", "--python", python, "--no-config", "--no-progress", "--color", "never"]
        command += ["--compile-bytecode", "--link-mode", "copy"]
    else:
        command = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]
    return command + ([] if job["sourceBuilds"] else ["--only-binary", ":all:"])


def move(target, final):
    """Programs say in their first line where their Python is: where it will be, not where it is now."""
    folder = os.path.join(target, "bin")
    for path in [os.path.join(target, "pyvenv.cfg"), *(entry.path for entry in os.scandir(folder))]:
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            content = file.read()
        moved = content.replace(os.fsencode(target), os.fsencode(final))
        if moved != content:
            with open(path, "wb") as file:
                file.write(moved)


def build(job):
    base, target = job["python"], job["target"]
    run("venv", base, "-c", "import venv, ensurepip")
    run("venv", base, "-m", "venv", target)
    python = os.path.join(target, "bin", "python")
    install = installer(job, python)
    for step in job["installs"]:
        files = [word for path in step["requirements"] for word in ("--requirement", path)]
        bounds = [word for path in step["constraints"] for word in ("--constraint", path)]
        run("packages" if len(step["requirements"]) + len(bounds) > 1 else "pins", *install, *files, *bounds)
    said = run("check", python, "-I", "-c", CHECK, tell=False)
    move(target, job["final"])
    try:
        return json.loads(said[-1])
    except (IndexError, ValueError):
        return []


def main():
    job = json.loads(sys.stdin.buffer.readline())
    try:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # Not Linux: the worker finds what is left by other ways.
    threading.Thread(target=follow_worker, daemon=True).start()
    os.umask(0o022)  # Notebooks may run as other users, and an environment holds no secrets.
    os.chdir(job["folder"])
    try:
        emit(done=build(job))
    except Failed as failed:
        emit(failed=failed.step, lines=failed.lines)
    except OSError as error:
        emit(failed="venv", lines=[str(error)])
    threading.Event().wait()


main()
