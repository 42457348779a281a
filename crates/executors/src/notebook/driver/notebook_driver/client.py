"""nbclient, with what a scheduled execution needs besides."""

import asyncio
import inspect
import json
import os
import re
import signal
import subprocess
import tempfile
from queue import Empty

from nbclient import NotebookClient
from nbclient.client import CellExecutionComplete
from nbclient.exceptions import CellExecutionError, DeadKernelError

from . import outputs
from .events import CHUNK, Refused, emit, emit_output, note
from .kernels import Kernels, choose_kernel
from .streams import OpenStreams

INTERRUPT_GRACE_SECONDS = 3
# A kernel that waits for its reader sends all; others may have dropped the message that says that a cell is done.
IOPUB_PATIENCE_SECONDS = 120
# What a kernel sent before it died is here, or comes at once.
DRAIN_SECONDS = 0.5
LAST_WORDS = 2_000
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
OUTPUTS = ("stream", "display_data", "execute_result", "error")


class Stopped(Exception):
    """The worker wants no further cell to begin."""


class Left(Exception):
    """The notebook said that the rest is not needed, or that it failed: `code` is as a program's."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Client(NotebookClient):
    number = 0  # Of the code cell that runs, counted from 1.
    finished = 0
    printed = 0
    cut = False  # Whether there was too much output.
    kernel = None
    words = None  # What the kernel writes by itself; the file has no name that a cell could use.
    stopping = False
    left = None  # The code with which the notebook's `exit()` ends it.
    last_error = None
    incomplete = False  # Whether the end of the cell's output never came.

    def __init__(self, notebook, job, saver):
        self.job, self.saver, self.streams, self.places = job, saver, OpenStreams(), {}
        self.output_names, self.outputs = job["outputs"], {}
        self.kernels = Kernels()
        saver.before_save = self.streams.join
        super().__init__(
            notebook,
            kernel_name=choose_kernel(notebook.metadata, self.kernels),
            timeout=None,
            startup_timeout=120,
            iopub_timeout=IOPUB_PATIENCE_SECONDS,
            on_cell_executed=self.look_at_reply,
            resources={"metadata": {"path": job["workingDirectory"]}},
        )

    def create_kernel_manager(self):
        manager = super().create_kernel_manager()
        manager.kernel_spec_manager = self.kernels
        return manager

    async def async_start_new_kernel(self, **kwargs):
        # In place of nbclient's own handler, which lets no cell clean up.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        if len(self.job["sockets"]) < 90:  # A socket's path may have 107 bytes.
            self.km.transport, self.km.ip = "ipc", self.job["sockets"]
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
        # A worker that is nicer itself may not take that back.
        os.setpriority(os.PRIO_PROCESS, self.kernel, max(10, os.getpriority(os.PRIO_PROCESS, self.kernel)))
        emit("kernel", pid=self.kernel)

    def stop(self):
        """No further cell begins, whatever the one that runs makes of its interrupt."""
        if self.kernel is None:
            os._exit(128 + signal.SIGTERM)
        self.stopping = True
        spec = self.km.kernel_spec
        if spec is not None and spec.interrupt_mode == "message":
            self.interrupting = asyncio.ensure_future(finished(self.km.interrupt_kernel()))
        else:
            os.kill(self.kernel, signal.SIGINT)
        asyncio.get_running_loop().call_later(INTERRUPT_GRACE_SECONDS, self.kill)

    def kill(self):
        try:
            os.killpg(self.kernel, signal.SIGKILL)
        except OSError:
            pass

    async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
        cell = await self.execute_one(cell, cell_index, *args, **kwargs)
        if cell_index == len(self.nb.cells) - 1:
            await self.read_outputs()
        return cell

    async def execute_one(self, cell, cell_index, *args, **kwargs):
        if self.stopping:
            raise Stopped
        if cell.cell_type != "code":
            return await super().async_execute_cell(cell, cell_index, *args, **kwargs)
        self.number += 1
        self.incomplete = False
        emit("cell_started", cell=self.number)
        try:
            cell = await super().async_execute_cell(cell, cell_index, *args, **kwargs)
            self.finished += 1
        except CellExecutionError as error:
            if error.ename == "SystemExit":
                await self.read_outputs()
            raise
        except DeadKernelError:
            await self.drain()
            raise DeadKernelError(f"it ended {self.end_of_kernel()}") from None
        finally:
            self.streams.close()
            self.saver.cell_ended()
            emit("cell_finished")
        if self.stopping:
            raise Stopped
        if self.left is not None:
            raise Left(self.left)
        return cell

    async def read_outputs(self):
        """Asks the kernel for the values of the output parameters."""
        if not self.output_names:
            return
        questions = {name: outputs.question(name) for name in self.output_names}
        asked = self.kc.execute("", silent=True, user_expressions=questions)
        reply = await self.async_wait_for_reply(asked)
        answers = (reply or {"content": {}})["content"].get("user_expressions") or {}
        for name in self.output_names:
            value, problem = outputs.answer(answers.get(name) or {"status": "error", "ename": "no answer", "evalue": ""})
            if problem is None:
                self.outputs[name] = value
            else:
                note(f"warning: the output parameter {name!r} has no value: {problem}")
        if self.stopping:
            raise Stopped

    def look_at_reply(self, execute_reply, **_):
        if self.incomplete:
            note(f"cell {self.number}: its kernel did not say that all of its output was sent: some may be missing")
        for payload in execute_reply["content"].get("payload") or []:
            if payload.get("source") == "ask_exit":
                # IPython's `exit(3)` takes the number for "keep the kernel".
                asked = payload.get("keepkernel")
                self.left = 0 if isinstance(asked, bool) or not isinstance(asked, int) else asked

    async def _async_poll_output_msg(self, parent_msg_id, cell, cell_index):
        self.places[parent_msg_id] = cell, cell_index
        try:
            while True:
                message = await finished(self.kc.iopub_channel.get_msg(timeout=None))
                if self.take_message(message, parent_msg_id):
                    return
        except asyncio.CancelledError:
            self.incomplete = True
            raise

    def take_message(self, message, current):
        """Whether it says that the cell of the message `current` is done."""
        parent = (message.get("parent_header") or {}).get("msg_id")
        cell, cell_index = self.places.get(parent, (None, None))
        if parent != current and message["msg_type"] not in OUTPUTS:
            return False
        try:
            if cell is not None:
                # A thread may go on when its cell is done; Jupyter shows its output below that cell, too.
                self.process_message(message, cell, cell_index)
            else:
                self.log_message(message)
        except CellExecutionComplete:
            return parent == current
        except Exception as error:
            note(f"an output of cell {self.number} can't be kept: {type(error).__name__}: {error}")
        return False

    def end_of_kernel(self):
        status = getattr(getattr(self.km.provisioner, "process", None), "returncode", None)
        if status is None:
            return "by itself"
        if status >= 0:
            return f"by itself, with exit code {status}"
        try:
            return f"by the signal {signal.Signals(-status).name}"
        except ValueError:
            return f"by the signal {-status}"

    async def drain(self):
        """Takes what a dead kernel has sent."""
        try:
            while True:
                message = await finished(self.kc.iopub_channel.get_msg(timeout=DRAIN_SECONDS))
                self.take_message(message, None)
        except (Empty, AttributeError, RuntimeError):
            pass

    def process_message(self, msg, cell, cell_index):
        if not self.log_message(msg):
            return None
        taken = super().process_message(msg, cell, cell_index)
        self.saver.touch()
        return taken

    def log_message(self, msg):
        """Logs an output; whether it is to be kept, too."""
        kind, content = msg["msg_type"], msg["content"]
        texts = []
        if kind == "stream":
            texts = [content["text"]]
        elif kind == "error":
            texts = content.get("traceback") or []
            self.last_error = content
        elif kind in ("display_data", "execute_result", "update_display_data"):
            texts = [value if isinstance(value, str) else json.dumps(value) for value in content["data"].values()]
        self.printed += sum(map(len, texts)) + sum(len(buffer) for buffer in msg.get("buffers") or [])
        if texts and self.printed > self.job["outputBytes"]:
            if self.cut:
                return False
            self.cut = True
            emit("output_limit")
            self.kill()
            if kind != "stream":
                return False
            content["text"] = content["text"][:CHUNK]
        if kind == "stream":
            emit_output(content["name"], content["text"])
        elif kind == "error":
            emit_output("stderr", ANSI.sub("", "\n".join(texts)) + "\n")
        elif kind in ("display_data", "execute_result") and "text/plain" in content["data"]:
            emit_output("stdout", content["data"]["text/plain"] + "\n")
        return True

    def output(self, outs, msg, display_id, cell_index):
        hooks = self.output_hook_stack.get(msg["parent_header"].get("msg_id"))
        if msg["msg_type"] == "stream" and outs and not hooks and not self.clear_before_next_output:
            last, content = outs[-1], msg["content"]
            if last.get("output_type") == "stream" and last.get("name") == content["name"]:
                self.streams.append(last, content["text"])
                return last
        return super().output(outs, msg, display_id, cell_index)

    def log_last_words(self):
        if self.words:
            size = os.fstat(self.words.fileno()).st_size
            last = os.pread(self.words.fileno(), LAST_WORDS, max(0, size - LAST_WORDS))
            emit_output("stderr", last.decode(errors="replace"))


async def finished(result):
    """What an nbclient of any version gives: a value, or what is to be awaited for it."""
    return await result if inspect.isawaitable(result) else result
