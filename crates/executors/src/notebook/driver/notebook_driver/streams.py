"""What cells print, as a terminal and Jupyter's own editor show it."""


class OpenStreams:
    """The streams that still grow. Their pieces are put together when somebody looks: after each piece it would be
    quadratic."""

    def __init__(self):
        self.open = {}

    def append(self, output, text):
        _, pieces = self.open.setdefault(id(output), (output, [output["text"]]))
        pieces.append(text)

    def join(self):
        for output, pieces in self.open.values():
            output["text"] = as_shown("".join(pieces))
            pieces[:] = [output["text"]]

    def close(self):
        self.join()
        self.open.clear()


def as_shown(text):
    """Progress bars go back to the line's beginning and write over it: what they wrote last stands there."""
    if "\r" not in text and "\b" not in text:
        return text
    return "\n".join(map(line_as_shown, text.split("\n")))


def line_as_shown(line):
    body = line.rstrip("\r")
    # What comes next may still write over it.
    end = line[len(body) :][:1]
    body = body[body.rfind("\r") + 1 :]
    if "\b" in body:
        kept = []
        for character in body:
            if character != "\b":
                kept.append(character)
            elif kept:
                kept.pop()
        body = "".join(kept)
    return body + end
