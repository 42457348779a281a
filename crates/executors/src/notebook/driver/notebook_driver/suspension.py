"""Whether the notebook may go on.

The worker says until when, by the clock that goes on while the machine sleeps. When that moment passes without news, another
worker may have the run soon: all that this process started is stopped, until the worker says otherwise. So it stops also
where the worker itself is stopped. A cgroup's freezer would stop this process, too, which then could not act when the
worker dies.
"""

import os
import signal
import threading
import time

from .processes import descendants, end_all

LOOK_MS = 1_000
# What was begun, or resumed from outside, while the others stood still.
LOOK_WHILE_SUSPENDED_MS = 200
ROUNDS = 1_000


def now_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Suspension:
    def __init__(self, trust, longest_ms):
        self.until_ms = trust["trustedUntilMs"] if trust else None
        self.longest_ms = longest_ms
        self.news = threading.Event()
        self.stopped = {}  # By id: when the process began.

    def renew(self, trust):
        self.until_ms = trust["trustedUntilMs"]
        self.news.set()

    def watch(self):
        """Stops and resumes the notebook as its time comes; for ever."""
        while self.until_ms is not None:
            left = self.until_ms - now_ms()
            if left > 0:
                self.resume()
                wait = min(left, LOOK_MS)
            elif -left < self.longest_ms:
                self.stop()
                wait = LOOK_WHILE_SUSPENDED_MS
            else:
                end_all()
            self.news.wait(wait / 1_000)
            self.news.clear()

    def stop(self):
        """In rounds, until one meets nobody new: a process that is not stopped yet may begin another."""
        for _ in range(ROUNDS):
            new = 0
            for pid, process in descendants().items():
                ours = self.stopped.get(pid) == process.began
                # What the notebook stopped itself stays so when the others go on.
                if process.stopped or not send(pid, signal.SIGSTOP):
                    continue
                self.stopped[pid] = process.began
                new += not ours
            if not new:
                return

    def resume(self):
        if not self.stopped:
            return
        alive = descendants()
        for pid, began in self.stopped.items():
            if pid in alive and alive[pid].began == began:
                send(pid, signal.SIGCONT)
        self.stopped.clear()


def send(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True
