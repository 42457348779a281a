"""ArcGIS Notebooks' Parameters pane: the input and output parameters that an author has set up there. They stand in
the notebook's metadata. Where and how, Esri does not document, so they are known by what they are: lists of objects that
have a name and a geoprocessing data type, told apart by `input` and `output` in their keys or in themselves."""

import ast
import json

DEEPEST = 6
NAMES = ("variableName", "variable", "paramName", "parameterName", "name")
TYPES = ("dataType", "parameterDataType", "type")
DIRECTIONS = ("direction", "parameterType", "kind", "parameterDirection", "io")
DEFAULTS = ("defaultValue", "default", "value")
# Of simple types and of what a geoprocessing service calls them.
KNOWN_TYPES = (
    "string", "long", "double", "boolean", "date", "featureset", "featurerecordsetlayer", "recordset", "linearunit",
    "rasterdatalayer", "rasterdata", "datafile", "file", "integer", "float", "number", "json",
)
MOST_BYTES = 64 * 1024


def parameters_of(metadata):
    """The names and defaults of the input parameters, and the names of the output parameters."""
    inputs, outputs = {}, []
    for direction, entry in found_in(metadata, None, 0):
        name = text_at(entry, NAMES)
        if direction == "output":
            outputs.append(name)
        else:
            inputs[name] = next((entry[key] for key in DEFAULTS if key in entry), None)
    return inputs, list(dict.fromkeys(outputs))


def found_in(value, direction, depth):
    if depth > DEEPEST:
        return
    if isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict) and is_parameter(entry):
                yield direction_of(entry) or direction or "input", entry
            else:
                yield from found_in(entry, direction, depth + 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("kernelspec", "language_info", "widgets"):
                yield from found_in(inner, spoken(key) or direction, depth + 1)


def is_parameter(entry):
    name, kind = text_at(entry, NAMES), text_at(entry, TYPES)
    if name is None or kind is None or not name.isidentifier():
        return False
    kind = "".join(letter for letter in kind.lower() if letter.isalpha())
    return (kind[2:] if kind.startswith("gp") else kind) in KNOWN_TYPES


def direction_of(entry):
    if isinstance(entry.get("isOutput"), bool):
        return "output" if entry["isOutput"] else "input"
    said = text_at(entry, DIRECTIONS)
    return spoken(said) if said else None


def spoken(word):
    word = word.lower()
    return "output" if "output" in word else "input" if "input" in word else None


def text_at(entry, keys):
    return next((entry[key] for key in keys if isinstance(entry.get(key), str) and entry[key]), None)


def question(name):
    """What the kernel is asked for an output parameter's value: JSON, and what is no JSON in words."""
    return f"__import__('json').dumps({name}, default=lambda value: getattr(value, 'to_dict', value.__str__)())"


def answer(reply):
    """A value from the kernel's answer, or why there is none."""
    if reply.get("status") != "ok":
        return None, f"{reply.get('ename')}: {reply.get('evalue')}"
    try:
        text = ast.literal_eval(reply["data"]["text/plain"])
        if len(text) > MOST_BYTES:
            return None, f"it has more than {MOST_BYTES} bytes"
        return json.loads(text), None
    except (ValueError, KeyError, SyntaxError, TypeError, RecursionError) as error:
        return None, f"it can't be read: {type(error).__name__}"
