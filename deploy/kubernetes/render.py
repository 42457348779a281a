#!/usr/bin/env python3
"""Renders the chart into plain manifests: python3 deploy/kubernetes/render.py [FOLDER]; default: manifests beside this file.

Copies the rules and dashboards into the chart first. Renders by the program `helm` where there is one, else by Helm's own
library (pip install helm-python-sdk). Nothing talks to a cluster.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHART = HERE / "chart"
# What is rendered: the folder and the values beside the chart's own.
RENDERED = {"default": None, "everything": HERE / "everything.yaml"}


def copy_files(chart=CHART):
    """A chart can read only what is in it."""
    for source, target, pattern in ((HERE.parent / "prometheus/rules", "rules", "*.yml"),
                                    (HERE.parent / "grafana/dashboards", "dashboards", "*.json")):
        folder = chart / "files" / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in sorted(source.glob(pattern)):
            shutil.copyfile(file, folder / file.name)


def rendered(values):
    """The chart's templates by their names."""
    if shutil.which("helm"):
        command = ["helm", "template", "isochrone", str(CHART), "--namespace", "isochrone", "--skip-tests"]
        command += ["--values", str(values)] if values else []
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        files = {}
        for document in text.split("---\n"):
            if document.startswith("# Source: "):
                name, _, rest = document.removeprefix("# Source: ").partition("\n")
                files.setdefault(name.strip(), []).append(rest)
        return {name: "---\n".join(parts) for name, parts in files.items()}
    import helm_python
    given = helm_python.values_from_yaml(values.read_text(encoding="utf-8")) if values else {}
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(given)
        return chart.render(given, name="isochrone", namespace="isochrone")


def documents(text):
    """The documents of a template, without the empty ones, in one form whichever Helm rendered them."""
    parts = ["\n".join(line.rstrip() for line in part.strip("\n").splitlines()) for part in ("\n" + text).split("\n---")]
    return [part.strip("\n") for part in parts if part.strip() and "kind:" in part]


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "manifests"
    copy_files()
    for name, values in RENDERED.items():
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path, text in sorted(rendered(values).items()):
            parts = documents(text)
            if path.endswith(".yaml") and "/tests/" not in path and parts:
                (folder / Path(path).name).write_text("\n---\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
