"""What the driver tells the worker: JSON lines, and the executed notebook between them, on what was standard output."""

import json
import os
import re

CHUNK = 16_384
SURROGATES = re.compile("[\ud800-\udfff]")

# The kernel inherits standard output, so that what it writes there by itself must not look like an event.
events = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


class Refused(Exception):
    """The notebook or its parameters can't be used; the message says why."""


def valid_unicode(text):
    """Without half emoji, which no UTF-8 can hold and which the worker could not read."""
    return SURROGATES.sub("\ufffd", text)


def emit(event, **details):
    line = json.dumps({"event": event, **details}, ensure_ascii=False)
    try:
        line = line.encode("utf-8")
    except UnicodeEncodeError:
        line = valid_unicode(line).encode("utf-8")
    events.write(line + b"\n")
    events.flush()


def note(text):
    """A line of the run's log that is neither the notebook's output nor an error."""
    emit("note", text=text[:2000])


def emit_output(stream, text):
    for start in range(0, len(text), CHUNK):
        emit("output", stream=stream, text=text[start : start + CHUNK])


def emit_document(content, most):
    """Sends the notebook as it is now: where it is kept, cells can't write. One that is too large is only announced."""
    emit("document", bytes=len(content))
    if len(content) <= most:
        events.write(content)
        events.flush()


def emit_end():
    emit("end")
    events.close()
