"""Executes one notebook for Isochrone. Runs on nbclient 0.7 and later.

The job comes as one JSON line on standard input, which then stays open for as long as the worker lives:
when it closes, this process kills all that it started and ends. Events go out as JSON lines on what was
standard output; when all is said, the event `end` says so (the closing of a stream does not where another
process holds it, too), and this process waits for the worker to kill it and whatever the notebook has left:
until then it is their parent, by which they are found. The worker owns the deadline: SIGTERM interrupts the
running cell, and 3 s later kills it.
"""

import asyncio
import ctypes
import hashlib
import json
import keyword
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
INTERRUPT_GRACE_SECONDS = 3
CHUNK = 16_384
LAST_WORDS = 2_000
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

# The kernel inherits standard output, so that what it writes there by itself must not look like an event.
events = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


def emit(event, **details):
    events.write(json.dumps({"event": event, **details}).encode("ascii") + b"\n")
    events.flush()


def emit_document(content, most):
    """Sends the notebook as it is now: where it is kept, cells can't write. One that is too large is only announced."""
    emit("document", bytes=len(content))
    if len(content) <= most:
        events.write(content)
        events.flush()


class Refused(Exception):
    """The notebook or its parameters can't be used; the message says why."""


def contain():
    """Makes every process that a cell leaves behind this one's child."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # Not Linux: the worker finds what is left by other ways.


def shut_out_the_notebook():
    """Keeps this process's pipes from the notebook's, which otherwise may open them by /proc/<pid>/fd: who held
    standard input open would outlive the worker."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
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


def read_notebook(path):
    import nbformat

    try:
        with open(path, encoding="utf-8-sig") as file:
            notebook = nbformat.reads(file.read(), as_version=4)
    except Exception as error:
        raise Refused(f"the item is not a notebook: {error}") from None
    notebook.setdefault("metadata", nbformat.from_dict({}))
    for cell in notebook.get("cells", [None]):
        if not isinstance(cell, dict) or "cell_type" not in cell or not isinstance(cell.get("source"), str):
            raise Refused("the item is not a notebook: it has a cell without type or source")
        cell.setdefault("metadata", nbformat.from_dict({}))
        if cell.cell_type == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    return notebook


def read_parameters(text):
    """Understands the wrapping that ArcGIS's createTask has and its update lacks."""
    try:
        parameters = json.loads(text) if text else {}
        if isinstance(parameters, dict) and "notebookParameters" in parameters:
            parameters = parameters["notebookParameters"]
            if isinstance(parameters, str):
                parameters = json.loads(parameters) if parameters.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Refused(f"parameters: not JSON: {error}") from None
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refused("parameters: expected a JSON object of names and values")
    for name in parameters:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise Refused(f"parameters: {name!r} can't be the name of a Python variable")
    return parameters


def literal(value):
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def inject(notebook, parameters):
    """Puts the parameters where papermill puts them: instead of the cell of an earlier injection, else
    after the cell with the defaults, else at the top."""
    from nbformat.v4 import new_code_cell

    if not parameters:
        return
    spec, info = (notebook.metadata.get(key, {}) for key in ("kernelspec", "language_info"))
    language = spec.get("language") or info.get("name") or "python"
    if language.lower() != "python":
        raise Refused(f"parameters: only Python notebooks take them, and this one's language is {language}")
    source = "\n".join(["# Parameters", *(f"{name} = {literal(v)}" for name, v in parameters.items())])
    cell = new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    if (notebook.nbformat, notebook.get("nbformat_minor", 0)) < (4, 5):
        cell.pop("id", None)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    for tag, shift, length in (("injected-parameters", 0, 1), ("parameters", 1, 0)):
        at = next((index for index, names in enumerate(tags) if tag in names), None)
        if at is not None:
            notebook.cells[at + shift : at + shift + length] = [cell]
            return
    notebook.cells.insert(0, cell)


def kernel_of(notebook):
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    name = notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    specs = KernelSpecManager()
    try:
        specs.get_kernel_spec(name)
    except NoSuchKernel:
        known = ", ".join(sorted(specs.find_kernel_specs())) or "none"
        raise Refused(f"the notebook's kernel {name!r} is not installed (installed: {known})") from None
    return name


def make_client(notebook, job):
    from nbclient import NotebookClient
    import nbformat

    class Client(NotebookClient):
        number = 0  # Of the code cell that runs, counted from 1.
        finished = 0
        printed = 0
        cut = False  # Whether there was too much output.
        kernel = None
        words = None  # What the kernel writes by itself; the file has no name that a cell could use.
        sent = None  # A digest of what was sent last.

        async def async_start_new_kernel(self, **kwargs):
            if len(job["sockets"]) < 90:  # A socket's path may have 107 bytes.
                self.km.transport, self.km.ip = "ipc", job["sockets"]
            self.km.shutdown_wait_time = 2
            # A kernel sends its output as messages, and what it writes to its streams besides is mostly
            # the same again; only where it dies do they tell more.
            self.words = tempfile.TemporaryFile()
            kwargs.update(stdout=subprocess.DEVNULL, stderr=self.words)
            try:
                await super().async_start_new_kernel(**kwargs)
            except OSError as error:
                raise Refused(f"the notebook's kernel can't be started: {error}") from None
            self.kernel = self.km.provisioner.pid
            # This process stays as it is: with its end a fork bomb ends, which must not wait for its turn among thousands.
            os.setpriority(os.PRIO_PROCESS, self.kernel, 10)
            emit("kernel", pid=self.kernel)
            # In place of nbclient's own handler, which lets no cell clean up.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)

        def stop(self):
            os.kill(self.kernel, signal.SIGINT)
            asyncio.get_running_loop().call_later(INTERRUPT_GRACE_SECONDS, self.kill)

        def kill(self):
            try:
                os.killpg(self.kernel, signal.SIGKILL)
            except OSError:
                pass

        async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
            if cell.cell_type != "code":
                return await super().async_execute_cell(cell, cell_index, *args, **kwargs)
            self.number += 1
            emit("cell_started", cell=self.number)
            try:
                cell = await super().async_execute_cell(cell, cell_index, *args, **kwargs)
                self.finished += 1
                return cell
            finally:
                self.save()
                emit("cell_finished")

        def process_message(self, msg, cell, cell_index):
            kind, content = msg["msg_type"], msg["content"]
            texts = []
            if kind == "stream":
                texts = [content["text"]]
            elif kind == "error":
                texts = content.get("traceback", [])
            elif kind in ("display_data", "execute_result", "update_display_data"):
                texts = [value if isinstance(value, str) else json.dumps(value)
                         for value in content["data"].values()]
            self.printed += sum(map(len, texts)) + sum(len(buffer) for buffer in msg.get("buffers") or [])
            if texts and self.printed > job["outputBytes"]:
                if self.cut:
                    return None
                self.cut = True
                emit("output_limit")
                self.kill()
                if kind != "stream":
                    return None
                content["text"] = content["text"][:CHUNK]
            if kind == "stream":
                self.log_text(content["name"], content["text"])
            elif kind == "error":
                self.log_text("stderr", ANSI.sub("", "\n".join(texts)) + "\n")
            elif kind in ("display_data", "execute_result") and "text/plain" in content["data"]:
                self.log_text("stdout", content["data"]["text/plain"] + "\n")
            return super().process_message(msg, cell, cell_index)

        def log_last_words(self):
            if self.words:
                size = os.fstat(self.words.fileno()).st_size
                last = os.pread(self.words.fileno(), LAST_WORDS, max(0, size - LAST_WORDS))
                self.log_text("stderr", last.decode(errors="replace"))

        def log_text(self, stream, text):
            for start in range(0, len(text), CHUNK):
                emit("output", stream=stream, text=text[start : start + CHUNK])

        def save(self):
            try:
                content = nbformat.writes(self.nb).encode("utf-8")
            except UnicodeError as error:
                emit("output", stream="stderr", text=f"the executed notebook can't be saved: {error}\n")
                return
            digest = hashlib.sha256(content).digest()
            if digest != self.sent:
                self.sent = digest
                emit_document(content, job["documentBytes"])

    return Client(
        notebook,
        kernel_name=kernel_of(notebook),
        timeout=None,
        startup_timeout=120,
        resources={"metadata": {"path": job["workingDirectory"]}},
    )


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


async def execute(job):
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = read_notebook(job["notebook"])
    inject(notebook, read_parameters(job["parameters"]))
    client = make_client(notebook, job)
    emit("notebook", cells=sum(cell.cell_type == "code" for cell in notebook.cells))
    client.save()
    reaper = asyncio.ensure_future(reap(client))
    try:
        await client.async_execute()
    except CellExecutionError as error:
        # `sys.exit()` in a cell says: it is done, the rest is not needed.
        if error.ename != "SystemExit" or str(error.evalue) not in ("", "0", "None"):
            return emit("cell_failed", ename=error.ename, evalue=str(error.evalue)[:4000], cell=client.number)
    except (DeadKernelError, RuntimeError) as error:
        client.log_last_words()
        return emit("kernel_died", message=str(error)[:4000], cell=client.number)
    finally:
        reaper.cancel()
        client.save()
    emit("done", executed=client.finished)


def main():
    job = json.loads(sys.stdin.buffer.readline())
    contain()
    shut_out_the_notebook()
    # The first process of a namespace gets no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    threading.Thread(target=follow_worker, daemon=True).start()
    try:
        asyncio.run(execute(job))
    except Refused as error:
        emit("refused", message=str(error)[:4000])
    except BaseException as error:
        traceback.print_exc()
        emit("driver_failed", message=f"{type(error).__name__}: {error}"[:4000])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    emit("end")
    events.close()
    threading.Event().wait()


if __name__ == "__main__":
    main()
