"""Processes of pygeoapi that take their time."""

import time
from pathlib import Path

from pygeoapi.process.base import BaseProcessor, ProcessorExecuteError

METADATA = {
    "version": "1.0.0",
    "id": "slow",
    "title": {"en": "Slow"},
    "description": {"en": "Takes its time"},
    "jobControlOptions": ["sync-execute", "async-execute"],
    "keywords": [],
    "links": [],
    "inputs": {"seconds": {"title": "Seconds", "schema": {"type": "number"}, "minOccurs": 1, "maxOccurs": 1}},
    "outputs": {"took": {"title": "Took", "schema": {"type": "number"}}},
    "example": {"inputs": {"seconds": 1}},
}


class Slow(BaseProcessor):
    metadata = METADATA

    def __init__(self, processor_def):
        super().__init__(processor_def, self.metadata)
        self.supports_outputs = True

    def execute(self, data, outputs=None):
        with Path(__file__).with_name("executions").open("a") as executions:
            executions.write("one\n")
        if data["seconds"] < 0:
            raise ProcessorExecuteError("time does not run backwards")
        time.sleep(data["seconds"])
        return "application/json", {"id": "took", "value": data["seconds"]}


class Waiting(Slow):
    """Never a job: pygeoapi says that it is one, where it has jobs."""

    metadata = METADATA | {"id": "waiting", "jobControlOptions": ["sync-execute"]}
