"""Builds one Python environment for Isochrone, in the sandbox that notebooks have.

The job comes as one JSON line on standard input, which then stays open for as long as the worker lives. What is done
goes out line by line as JSON: {"line": ...} for people, and at the end {"failed": STEP, "lines": [...]} or
{"done": [[name, version], ...]}. Then this process waits for the worker to end it and whatever it has started.
"""

import json
import os
import subprocess
import sys
import threading

# Last, so that it stands in nobody's way.
sys.path.append(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import isochrone_processes as processes  # noqa: E402

KEPT = 30
LONGEST_LINE = 2_000
UV_PATIENCE = 60  # seconds, for its version
TRUE = ("y", "yes", "t", "true", "on", "1")  # pip's
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


def working_uv(path):
    """uv, if it is there and is what it is called."""
    if path is None:
        return None
    try:
        version = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            timeout=UV_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        why = f"it has not told its version within {UV_PATIENCE} s"
    except OSError as error:
        why = error.strerror
    else:
        words = version.stdout.strip()[:LONGEST_LINE].splitlines() or ["it says nothing"]
        if version.returncode == 0 and words[0].startswith("uv "):
            emit(line=f"{words[0]} installs")
            return path
        why = f"{words[-1]}; it ended with {version.returncode}"
    emit(line=f"uv does not work ({why}): pip installs")
    return None


def with_uv(uv, python):
    command = [uv, "pip", "install", "--python", python, "--no-config", "--no-progress", "--color", "never"]
    # Where several indexes have a package, pip takes the best version of all.
    command += ["--index-strategy", "unsafe-best-match"]
    # uv has no variable for this one.
    if os.environ.get("PIP_NO_INDEX", "").lower() in TRUE:
        command += ["--no-index"]
    # What uv unpacks is in the build's own folder, and not there twice.
    return [*command, "--compile-bytecode", "--link-mode", "hardlink"]


def with_pip(python):
    return [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]


def install(job, python, uv, step):
    """pip's word counts: what uv can't install is tried with pip."""
    what = [word for path in step["requirements"] for word in ("--requirement", path)]
    what += [word for path in step["constraints"] for word in ("--constraint", path)]
    what += [] if job["sourceBuilds"] else ["--only-binary", ":all:"]
    name = "pins" if len(step["requirements"]) == 1 and not step["constraints"] else "packages"
    if uv and not step["hashed"]:
        try:
            return run(name, *with_uv(uv, python), *what)
        except Failed as failed:
            why = [line for line in failed.lines if line.startswith("error: ")] or failed.lines[-1:]
            emit(line=f"uv can't install this ({why[0].strip()}): pip tries")
    return run(name, *with_pip(python), *what)


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
    uv = working_uv(job["uv"])
    for step in job["installs"]:
        install(job, python, uv, step)
    said = run("check", python, "-I", "-c", CHECK, tell=False)
    move(target, job["final"])
    try:
        return json.loads(said[-1])
    except (IndexError, ValueError):
        return []


def main():
    job = json.loads(sys.stdin.buffer.readline())
    processes.contain()
    # A build that held standard input open would outlive the worker.
    processes.shut_out_the_notebook()
    threading.Thread(target=processes.follow_worker, daemon=True).start()
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
