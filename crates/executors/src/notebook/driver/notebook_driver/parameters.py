"""A task's parameters: how they are read, and where they go in the notebook."""

import ast
import json
import keyword
import math

from .events import Refused
from .kernels import is_python, language

# What papermill and this driver write first in a cell that they put in.
FIRST_LINE = "# Parameters"


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
    """Puts the parameters where papermill and ArcGIS put them: in the place of an earlier injection, else after the
    author's own cell with the tag `injected-parameters`, else after the one with the tag `parameters`, else at the top."""
    from nbformat.v4 import new_code_cell

    if not parameters:
        return
    if not is_python(notebook.metadata):
        raise Refused("parameters: only Python notebooks take them, and this one's language is "
                      f"{language(notebook.metadata)}")
    source = "\n".join([FIRST_LINE, *(f"{name} = {literal(v)}" for name, v in parameters.items())])
    cell = new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        cell.pop("id", None)
    injected, defaults = tagged(notebook, "injected-parameters"), tagged(notebook, "parameters")
    earlier = next((at for at in injected if is_injection(notebook.cells[at].source, parameters)), None)
    if earlier is not None:
        notebook.cells[earlier] = cell
    else:
        after = next(iter(injected), next(iter(defaults), -1))
        notebook.cells.insert(after + 1, cell)


def tagged(notebook, tag):
    return [at for at, cell in enumerate(notebook.cells)
            if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])]


def is_injection(source, parameters):
    """Whether a cell with the tag is an earlier injection: as ArcGIS's help tells authors to give the tag to a cell,
    it may be their own."""
    if source.lstrip().startswith(FIRST_LINE):
        return True
    names = assigned(source)
    return names is not None and set(names) <= set(parameters)


def assigned(source):
    """The names that a cell gives values to, and the values where they are literals; none where it does anything else
    or can't be read."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        else:
            return None
        for target in targets:
            for part in target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]:
                if not isinstance(part, ast.Name):
                    return None
                names[part.id] = statement.value
    return names
