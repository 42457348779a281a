"""Executes the notebook that standard input has, and writes it to standard output."""

import json
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

job = json.load(sys.stdin)
notebook = nbformat.reads(job["notebook"], as_version=4)
cells = notebook.cells
injected = None
if job["parameters"]:
    lines = [f"{name} = {value!r}" for name, value in job["parameters"].items()]
    injected = nbformat.v4.new_code_cell("\n".join(lines))
    tagged = [place for place, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    cells.insert(tagged[0] + 1 if tagged else 0, injected)
failure = None
try:
    NotebookClient(notebook, timeout=None).execute()
except CellExecutionError as error:
    failure = f"{error.ename}: {error.evalue}"
if injected is not None and not job["save"]:
    cells.remove(injected)
json.dump({"notebook": nbformat.writes(notebook), "failure": failure}, sys.stdout)
