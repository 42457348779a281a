"""Reads an .ipynb as it comes: what editors, converters and people leave out or get wrong is put right where the
meaning is plain, and refused with the reason where it is not."""

import json
import re
import uuid

from .events import Refused, note, valid_unicode

NEWEST_MAJOR = 4
VALID_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# Python refuses longer ones by default, because converting them takes quadratic time.
LONGEST_INTEGER = 4_000


def read_notebook(path):
    with open(path, "rb") as file:
        content = file.read()
    try:
        document = json.loads(content.decode("utf-8-sig"), parse_int=integer)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the item is not a notebook: {error}") from None
    if not isinstance(document, dict):
        raise Refused("the item is not a notebook: it is no JSON object")
    major = document.get("nbformat")
    if isinstance(major, str) and major.isdigit() or isinstance(major, float):
        major = int(major)
    if isinstance(major, bool) or not isinstance(major, int) or not 1 <= major <= NEWEST_MAJOR:
        raise Refused(f"the item is not a notebook of a known format: its nbformat is {shown(major)}")
    document["nbformat"] = major
    if major < NEWEST_MAJOR:
        document = upgraded(document)
    return normalized(document)


def integer(digits):
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def shown(value):
    return repr(value)[:80]


def upgraded(document):
    """A notebook of an older format in the present one. What it printed long ago counts for nothing here."""
    import nbformat

    minor = document.get("nbformat_minor")
    document["nbformat_minor"] = minor if isinstance(minor, int) else 0
    as_object(document, "metadata")
    worksheets = document.get("worksheets") if document["nbformat"] == 3 else [document]
    if worksheets is None:
        # A file that says 3 and is written as 4.
        if isinstance(document.get("cells"), list):
            return {**document, "nbformat": 4, "nbformat_minor": 0}
        raise Refused("the item is not a notebook: it has no worksheets")
    for sheet in as_list_of_objects(worksheets, "worksheet"):
        as_object(sheet, "metadata")
        for cell in as_list_of_objects(sheet.get("cells") or [], "cell"):
            as_object(cell, "metadata")
            if cell.get("cell_type") == "code":
                cell["input"] = text_of(cell.get("input", cell.get("source")))
                cell["outputs"], cell["prompt_number"] = [], None
                cell.setdefault("language", "python")
                cell.setdefault("collapsed", False)
            else:
                cell["source"] = text_of(cell.get("source"))
    try:
        return nbformat.convert(nbformat.from_dict(document), NEWEST_MAJOR)
    except Exception as error:
        raise Refused(f"the item is not a notebook: {type(error).__name__}: {error}") from None


def normalized(document):
    import nbformat

    as_object(document, "metadata")
    # The state of widgets that outputs of an earlier execution showed.
    document["metadata"].pop("widgets", None)
    cells = document.get("cells")
    if not isinstance(cells, list):
        raise Refused("the item is not a notebook: it has no list of cells")
    minor = document.get("nbformat_minor")
    if isinstance(minor, bool) or not isinstance(minor, int) or minor < 0:
        minor = 5 if any(isinstance(cell, dict) and "id" in cell for cell in cells) else 4
    document["nbformat_minor"] = minor
    ids = set()
    for number, cell in enumerate(cells, 1):
        normalize_cell(cell, number)
        if minor >= 5:
            if not isinstance(cell.get("id"), str) or not VALID_ID.match(cell["id"]) or cell["id"] in ids:
                cell["id"] = uuid.uuid4().hex[:8]
            ids.add(cell["id"])
    return nbformat.from_dict(document)


def normalize_cell(cell, number):
    if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
        raise Refused(f"the item is not a notebook: its cell {number} has no type")
    kind = cell["cell_type"]
    cell["source"] = text_of(cell.get("source"), number)
    whole = valid_unicode(cell["source"])
    if whole != cell["source"]:
        cell["source"] = whole
        note(f"cell {number}: half a character of two (a surrogate) is replaced, as no Python can execute it")
    metadata = as_object(cell, "metadata")
    if "tags" in metadata:
        tags = metadata["tags"]
        tags = [tags] if isinstance(tags, str) else tags if isinstance(tags, list) else []
        metadata["tags"] = [tag for tag in tags if isinstance(tag, str)]
    if kind == "code":
        # What stands there was printed by an earlier execution, and would pass for this one's where a cell is not reached.
        cell["outputs"], cell["execution_count"] = [], None
        return
    for name in ("outputs", "execution_count"):
        cell.pop(name, None)
    if kind not in ("markdown", "raw"):
        cell["cell_type"] = "markdown"
    if not isinstance(cell.get("attachments", {}), dict):
        del cell["attachments"]


def as_object(parent, name):
    if not isinstance(parent.get(name), dict):
        parent[name] = {}
    return parent[name]


def as_list_of_objects(value, what):
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(f"the item is not a notebook: it has a {what} that is no object")
    return value


def text_of(source, number=None):
    if source is None:
        return ""
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str):
        where = "a cell" if number is None else f"its cell {number}"
        raise Refused(f"the item is not a notebook: {where} has a source that is no text: {shown(source)}")
    return source
