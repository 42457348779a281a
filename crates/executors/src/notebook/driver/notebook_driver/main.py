"""The way of an execution.

The job comes as one JSON line on standard input, which then stays open for as long as the worker lives; further
lines say until when the notebook may go on. When it closes, this process kills all that it started and ends. Events go out as JSON lines on what was
standard output; when all is said, the event `end` says so (the closing of a stream does not where another
process holds it, too), and this process waits for the worker to kill it and whatever the notebook has left:
until then it is their parent, by which they are found. The worker owns the deadline: SIGTERM interrupts the
running cell, and 3 s later kills it.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import traceback

from .events import Refused, emit, emit_end
from .processes import contain, follow_worker, reap, shut_out_the_notebook
from .suspension import Suspension

# `sys.exit()` in a cell says: it is done, the rest is not needed.
EXITS_OF_SUCCESS = ("", "0", "None", "False")


async def execute(job):
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    from .client import Client, Left, Stopped
    from .document import Saver, finite
    from .parameters import inject, read_parameters
    from .reading import read_notebook

    notebook = read_notebook(job["notebook"])
    inject(notebook, read_parameters(job["parameters"]))
    saver = Saver(notebook, job["documentBytes"])
    client = Client(notebook, job, saver)
    emit("notebook", cells=sum(cell.cell_type == "code" for cell in notebook.cells))
    saver.save()
    reaper = asyncio.ensure_future(reap(client))
    try:
        await client.async_execute()
    except CellExecutionError as error:
        ename, evalue = words(error, client.last_error)
        if ename != "SystemExit" or evalue not in EXITS_OF_SUCCESS:
            return emit("cell_failed", ename=ename[:200], evalue=evalue[:4000], cell=client.number)
    except Left as left:
        if left.code:
            return emit("cell_failed", ename="SystemExit", evalue=str(left.code), cell=client.number)
    except Stopped:
        return emit("stopped", cell=client.number)
    except (DeadKernelError, RuntimeError) as error:
        client.log_last_words()
        return emit("kernel_died", message=str(error)[:4000], cell=client.number)
    finally:
        reaper.cancel()
        client.set_widgets_metadata()
        saver.changed = True
        saver.save()
    for name, value in client.outputs.items():
        # As text, so that a value that the worker can't read costs no more than itself.
        emit("result", name=name, json=json.dumps(finite(value)))
    emit("done", executed=client.finished)


def words(error, message):
    """An error's class and text. Some kernels name them only in the message that they show."""
    ename, evalue = str(error.ename or ""), str(error.evalue if error.evalue is not None else "")
    if ename in ("", "NoneType") and message:
        ename, evalue = str(message.get("ename") or ""), str(message.get("evalue") or "")
    if ename in ("", "NoneType"):
        lines = [line for line in str((message or {}).get("traceback") or [""])[-1].splitlines() if line.strip()]
        ename, evalue = "Error", lines[-1] if lines else "the kernel says no more than that the cell failed"
    return ename, evalue


def main():
    worker = sys.stdin.buffer
    job = json.loads(worker.readline())
    contain()
    shut_out_the_notebook()
    # The first process of a namespace gets no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    suspension = Suspension(job["trust"], job["longestSuspensionMs"])
    threading.Thread(target=suspension.watch, daemon=True).start()
    threading.Thread(target=follow_worker, args=(worker, suspension), daemon=True).start()
    try:
        asyncio.run(execute(job))
    except Refused as error:
        emit("refused", message=str(error)[:4000])
    except BaseException as error:
        traceback.print_exc()
        emit("driver_failed", message=f"{type(error).__name__}: {error}"[:4000])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    emit_end()
    threading.Event().wait()
