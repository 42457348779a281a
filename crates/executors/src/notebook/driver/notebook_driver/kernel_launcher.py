"""Starts ipykernel as `python -m ipykernel_launcher` does, but so that it waits where its reader is behind. By
default it drops what it prints faster than that (ZeroMQ's high-water mark of 1,000 messages)."""

import json
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != here or not path]

import zmq  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402


class WithoutLoss:
    """A ZeroMQ context whose sockets wait rather than drop."""

    def __init__(self, context):
        self.context = context

    def __getattr__(self, name):
        return getattr(self.context, name)

    def socket(self, kind, *args, **kwargs):
        made = self.context.socket(kind, *args, **kwargs)
        if kind in (zmq.PUB, zmq.XPUB):
            made.setsockopt(zmq.XPUB_NODROP, 1)
        return made


def with_half_characters(pack):
    """Half a character of two, which UTF-8 can't hold, would cost the whole message."""

    def packed(content):
        try:
            return pack(content)
        except UnicodeEncodeError:
            return json.dumps(content, default=str).encode("ascii")

    return packed


class LosslessKernelApp(IPKernelApp):
    name = "ipython-kernel"

    def init_iopub(self, context):
        self.session.pack = with_half_characters(self.session.pack)
        super().init_iopub(WithoutLoss(context))


if __name__ == "__main__":
    LosslessKernelApp.launch_instance()
