"""The values of output parameters, which a run has as its result."""

import ast
import json

MOST_BYTES = 64 * 1024


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
