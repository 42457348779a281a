"""A process of pygeoapi that takes its time."""

import time

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
    def __init__(self, processor_def):
        super().__init__(processor_def, METADATA)
        self.supports_outputs = True

    def execute(self, data, outputs=None):
        if data["seconds"] < 0:
            raise ProcessorExecuteError("time does not run backwards")
        time.sleep(data["seconds"])
        return "application/json", {"id": "took", "value": data["seconds"]}
