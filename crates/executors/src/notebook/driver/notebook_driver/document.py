"""The executed notebook as the worker gets it."""

import asyncio
import json
import math
import time

from .events import emit_document, valid_unicode

# Saving may take a twenty-fifth of the time: otherwise it would be quadratic where there are many cells or large outputs.
SHARE = 25
LEAST_PAUSE_SECONDS = 0.2
# What saving at the end of cells may take beyond that share: a small notebook is saved after each of its cells.
ALLOWANCE_SECONDS = 0.25


class Saver:
    """Sends the notebook while it is executed, now and then, and at the end."""

    def __init__(self, notebook, most):
        self.notebook, self.most = notebook, most
        self.before_save = lambda: None
        self.changed = True
        self.due = 0.0
        self.timer = None
        self.began, self.spent = time.monotonic(), 0.0

    def cell_ended(self):
        """What a cell has left is saved before the next one, which may be the last, as long as saving is cheap."""
        if self.spent < ALLOWANCE_SECONDS + (time.monotonic() - self.began) / SHARE / 2:
            self.changed = True
            self.save()
        else:
            self.touch()

    def touch(self):
        """Something has changed."""
        self.changed = True
        wait = self.due - time.monotonic()
        if wait <= 0:
            self.save()
        elif self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(wait, self.save)

    def save(self):
        """Sends it now, if anything has changed."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.changed:
            return
        self.changed = False
        began = time.monotonic()
        self.before_save()
        emit_document(written(self.notebook), self.most)
        ended = time.monotonic()
        self.spent += ended - began
        self.due = ended + max((ended - began) * SHARE, LEAST_PAUSE_SECONDS)


def written(notebook):
    """As Jupyter writes it, but that texts of outputs stand in one piece: to cut each into lines takes longer than all
    else."""
    document = {**notebook, "cells": [with_lines(cell) for cell in notebook["cells"]]}
    try:
        text = dumped(document)
    except ValueError:
        text = dumped(finite(document))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return valid_unicode(text).encode("utf-8")


def dumped(document):
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True) + "\n"


def with_lines(cell):
    return {**cell, "source": cell["source"].splitlines(True)}


def finite(value):
    """JSON has no NaN and no infinity, and browsers read nothing that has."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
