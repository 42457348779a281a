#!/usr/bin/env python3
"""Holds what lies in deploy/ together: python3 deploy/check.py [rules] [names] [dashboards] [containers] [units] [chart].

Without arguments all of it. `rules` needs promtool (Debian, Ubuntu: apt-get install prometheus), `units` skips where there is no
systemd-analyze, `containers` and `chart` need requirements.txt, `dashboards` and `chart` Node.js and what `npm ci` installs in
schemas/ (or elsewhere: --packages FOLDER/node_modules). Prints what does not fit, and fails then.
"""

import argparse
import base64
import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RULES = sorted((HERE / "prometheus/rules").glob("*.yml"))
RULE_TESTS = HERE / "prometheus/rules.test.yml"
BOARDS = HERE / "grafana/dashboards"
RUNBOOKS = ROOT / "docs/runbooks"
SCHEMAS = HERE / "schemas"
packages = SCHEMAS / "node_modules"
found = []


def wrong(text):
    found.append(text)


def run(*command):
    if shutil.which(str(command[0])) is None:
        wrong(f"{command[0]} is not here; for promtool: apt-get install prometheus")
        return
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        wrong(f"{' '.join(str(part) for part in command)}:\n{done.stdout}{done.stderr}")


def same(expected, there, remedy):
    """Two folders have the same files with the same text."""
    names = {file.relative_to(folder) for folder in (expected, there) for file in folder.rglob("*") if file.is_file()}
    if not names:
        wrong(f"{there} is empty")
    for name in sorted(names):
        one, other = expected / name, there / name
        if not (one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()):
            wrong(f"{(there / name).relative_to(ROOT)} is not what its source makes: {remedy}")


def path_to(lines):
    """To the last of these lines of JSON that is indented by a blank: spec.endpoints.0.port."""
    path = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if depth > 0 and line[depth] not in "]}":
            key = re.match(r'"(.*?)": ', line[depth:])
            before = path[depth - 1] if depth <= len(path) else -1
            path[depth - 1:] = [key[1] if key else before + 1]
    return ".".join(str(part) for part in path)


def node(files, *command, given=""):
    """What Node.js does with these files, by their names, where they find the packages. None: it can't."""
    if not (packages / "typescript").is_dir() or shutil.which("node") is None:
        wrong(f"no Node.js, or nothing in {packages}: npm ci --prefix deploy/schemas")
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "node_modules").symlink_to(packages.resolve())
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return subprocess.run(["node", *command], cwd=folder, input=given, capture_output=True, text=True, check=False)


def of_schemas(*names):
    return {name: (SCHEMAS / name).read_text(encoding="utf-8") for name in names}


def typed(given):
    """Each (place, module, type, value) is a literal of that type to TypeScript's compiler, which refuses what the type does not
    know. Grafana's schema and the operators' are to be had as types."""
    files, literals = of_schemas("tsconfig.json", "dashboard.ts", "refused.ts"), {}
    for number, (place, module, kind, value) in enumerate(given):
        literal = json.dumps(value, indent=1)
        literals[f"given{number}.ts"] = (place, literal.splitlines())
        files[f"given{number}.ts"] = f'import type {{ {kind} }} from "{module}"; export const it: {kind} = {literal};\n'
    done = node(files, "node_modules/typescript/bin/tsc", "--pretty", "false")
    if done is None:
        return
    told = len(found)
    for line in (done.stdout + done.stderr).splitlines():
        at = re.match(r"(\w+\.ts)\((\d+),\d+\): error \w+: (.*)", line)
        if at and at[1] in literals:
            place, lines = literals[at[1]]
            wrong(f"{place}: {path_to(lines[:int(at[2])])}: {at[3]}")
        elif not line.startswith(" "):  # What is indented says more of the line above.
            wrong(f"schemas: {line}")
    if done.returncode != 0 and len(found) == told:
        wrong("schemas: the compiler failed, and did not say why")


def valued(given):
    """What a type does not say of values: see values.mjs."""
    done = node(of_schemas("values.mjs"), "values.mjs", given=json.dumps(given))
    if done is None:
        return
    for line in done.stdout.splitlines():
        wrong(line)
    if done.returncode != 0:
        wrong(f"schemas: {done.stderr}")


def rules():
    run("promtool", "check", "config", HERE / "prometheus/prometheus.yml")
    run("promtool", "check", "rules", *RULES)
    run("promtool", "test", "rules", RULE_TESTS)
    # Each alert is seen to fire and not to.
    tests = RULE_TESTS.read_text(encoding="utf-8")
    for alert in alerts():
        asked = [part for part in tests.split("- name:") if f'ALERTS{{alertname="{alert}",' in part]
        if not any("exp_samples: []" in part and "value: 1 }]" in part for part in asked):
            wrong(f"{RULE_TESTS.name} does not show {alert} both fire and not fire")
    # What dashboards ask is PromQL: Grafana's variables aside, as rules.
    asked = sorted({(expr) for _, expr in asked_by_boards()})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dashboards.yml"
        one = [{"record": f"board:{number}", "expr": expr.replace("$__rate_interval", "5m").replace("$type", ".*")}
               for number, expr in enumerate(asked)]
        file.write_text(json.dumps({"groups": [{"name": "boards", "rules": one}]}), encoding="utf-8")
        run("promtool", "check", "rules", file)


def alerts():
    return [name for file in RULES for name in re.findall(r"- alert: (\w+)", file.read_text(encoding="utf-8"))]


def asked_by_boards():
    for file in sorted(BOARDS.glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", []):
                yield f"{file.name}, {panel['title']}", target["expr"]


def names():
    """Whatever metric is named anywhere is one that docs/metrics.md lists; a rule's own name is one that a rule records."""
    listed, labels = {}, {}
    for line in (ROOT / "docs/metrics.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| `(isochrone_\w+)` \| (counter|gauge|histogram) \| ([^|]*)\|", line)
        if row:
            listed[row[1]], labels[row[1]] = row[2], re.findall(r"`(\w+)`", row[3])
    known = {name for name, kind in listed.items() if kind != "histogram"}
    known |= {name + end for name, kind in listed.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")}
    known |= set(listed)
    if len(listed) < 30:
        wrong("docs/metrics.md lists no metrics: was its table changed?")
    # The binary registers what is listed, with these labels, and nothing else.
    catalogue = (ROOT / "crates/telemetry/src/catalogue.rs").read_text(encoding="utf-8")
    registered = {"isochrone_" + name: re.findall(r'"(\w+)"', given)
                  for name, given in re.findall(r'&r,\s*"([a-z_]+)",\s*"[^"]*",\s*&\[([^\]]*)\]', catalogue)}
    for name in sorted(set(registered) | set(listed)):
        if registered.get(name) != labels.get(name):
            wrong(f"{name}: docs/metrics.md lists it with {labels.get(name)}, crates/telemetry has {registered.get(name)}")
    recorded = {name for file in RULES for name in re.findall(r"record: (\S+)", file.read_text(encoding="utf-8"))}
    places = [*RULES, RULE_TESTS, *BOARDS.glob("*.json"), *RUNBOOKS.glob("*.md"), HERE / "grafana/generate.py",
              *(HERE / "kubernetes/chart/templates").glob("*.yaml"), *(HERE / "kubernetes/manifests").rglob("*.yaml")]
    for file in places:
        text = file.read_text(encoding="utf-8")
        for name in sorted(set(re.findall(r"\bisochrone_[a-z_]+\b", text)) - known):
            wrong(f"{file.relative_to(ROOT)} names {name}, which docs/metrics.md does not list")
        for name in sorted(set(re.findall(r"\bisochrone:\w+:\w+\b", text)) - recorded):
            wrong(f"{file.relative_to(ROOT)} names {name}, which no rule records")
    pages = {page.stem for page in RUNBOOKS.glob("*.md")}
    for name in sorted(pages ^ set(alerts())):
        wrong(f"{name}: an alert has one page in docs/runbooks, and a page has an alert")
    boards = {json.loads(file.read_text(encoding="utf-8"))["uid"] for file in BOARDS.glob("*.json")}
    for file in RULES:
        text = file.read_text(encoding="utf-8")
        for alert, page, board in re.findall(r"- alert: (\w+).*?runbook_url: docs/runbooks/(\w+)\.md\s+dashboard_url: /d/(\S+)", text, re.S):
            if alert != page or board not in boards:
                wrong(f"{alert} leads to {page}.md and {board}")


def dashboards():
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, HERE / "grafana/generate.py", folder)
        same(Path(folder), BOARDS, "python3 deploy/grafana/generate.py")
    boards = {file: json.loads(file.read_text(encoding="utf-8")) for file in sorted(BOARDS.glob("*.json"))}
    typed([(file.name, "./dashboard", "Dashboard", board) for file, board in boards.items()])
    for file, board in boards.items():
        if board["uid"] != file.stem or board["id"] is not None or board["editable"] or board["schemaVersion"] != 39:
            wrong(f"{file.name}: uid, id, editable or schemaVersion")
        for panel in board["panels"]:
            if panel["type"] not in ("row", "stat", "timeseries"):
                wrong(f"{file.name}: a panel of {panel['type']}")
            if any(target["datasource"]["uid"] != "${DS_PROMETHEUS}" for target in panel.get("targets", [])):
                wrong(f"{file.name}: {panel['title']} has a data source of its own")
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            if cells & taken or place["x"] + place["w"] > 24:
                wrong(f"{file.name}: {panel['title']} lies on another panel, or outside")
            taken |= cells


def containers():
    import yaml
    folder = HERE / "docker"
    stages = [re.search(r"# What compiles\..*?(?=\n\n)", (folder / name).read_text(encoding="utf-8"), re.S)[0]
              for name in ("Dockerfile", "notebook.Dockerfile")]
    if stages[0] != stages[1]:
        wrong("the stage `build` differs between the two Dockerfiles")
    images = [line.split()[1] for name in ("Dockerfile", "notebook.Dockerfile")
              for line in (folder / name).read_text(encoding="utf-8").splitlines() if line.startswith("FROM ")]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    images += [service["image"] for service in compose["services"].values()]
    for image in images:
        if image.endswith(":latest") or not ("$" in image or ":" in image):
            wrong(f"{image}: an image without a version")
    for name, service in compose["services"].items():
        for key, expected in {"init": True, "read_only": True, "cap_drop": ["ALL"], "restart": "unless-stopped",
                              "security_opt": ["no-new-privileges:true"]}.items():
            if service.get(key) != expected:
                wrong(f"docker-compose.yml: {name} has {key}: {service.get(key)}")
        if "test" not in service.get("healthcheck", {}):
            wrong(f"docker-compose.yml: {name} has no healthcheck")
        if "mem_limit" not in service:
            wrong(f"docker-compose.yml: {name} may take all memory")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                wrong(f"docker-compose.yml: {name} publishes {port}")
        for variable, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|URL$|TOKEN|SECRET", variable) and "PUBLIC_URL" not in variable
            if secret and not (variable.endswith("_FILE") and value.startswith("/run/secrets/")):
                wrong(f"docker-compose.yml: {name} has {variable}={value} in its environment")
    secrets(compose, folder)


def secrets(compose, folder):
    """The script makes what the compose file reads, once; and RabbitMQ's digest is that of the password."""
    with tempfile.TemporaryDirectory() as made:
        made = Path(made) / "secrets"
        for _ in range(2):
            run("bash", folder / "secrets.sh", made)
        for secret in compose["secrets"].values():
            file = made / Path(secret["file"]).name
            if not file.is_file() or file.stat().st_size == 0:
                wrong(f"secrets.sh does not make {file.name}")
        if stat.S_IMODE(made.stat().st_mode) != 0o700:
            wrong("others may enter the folder of secrets")
        password = (made / "rabbitmq_password").read_text(encoding="utf-8")
        definitions = json.loads((made / "rabbitmq_definitions.json").read_text(encoding="utf-8"))
        digest = base64.b64decode(definitions["users"][0]["password_hash"])
        if digest[4:] != hashlib.sha256(digest[:4] + password.encode()).digest():
            wrong("RabbitMQ would not take the password")
        if password not in (made / "amqp_url").read_text(encoding="utf-8"):
            wrong("amqp_url has another password")
        committed = json.loads((HERE / "rabbitmq/definitions.json").read_text(encoding="utf-8"))
        if any(definitions[key] != value for key, value in committed.items()):
            wrong("the definitions with the user are not those of deploy/rabbitmq")


def units():
    if not shutil.which("systemd-analyze"):
        print("units: no systemd-analyze here")
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(HERE / "systemd", folder, dirs_exist_ok=True)
        roles = ("scheduler", "worker", "portal")
        for role in roles:
            text = (HERE / "systemd/isochrone@.service").read_text(encoding="utf-8")
            # A program that is here: only Isochrone's units are looked at.
            (Path(folder) / f"isochrone@{role}.service").write_text(text.replace("/usr/local/bin/isochrone", "/bin/true"), encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", *(f"./isochrone@{role}.service" for role in roles)], cwd=folder,
                              capture_output=True, text=True, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            if "isochrone@" in line:
                wrong(line)


def one_library(folder):
    """The wheel carries the same library under three names, of 85 MB each."""
    first, *others = sorted(folder.glob("libhelm_c.so*")) or [None]
    for other in others:
        if not other.samefile(first) and other.read_bytes() == first.read_bytes():
            other.unlink()
            other.hardlink_to(first)


def chart():
    import helm_python
    import kubernetes_validate
    import yaml
    sys.path.insert(0, str(HERE / "kubernetes"))
    import references
    import render
    one_library(Path(helm_python.__file__).parent / "lib")
    folder = HERE / "kubernetes"
    remedy = "python3 deploy/kubernetes/render.py"
    same(HERE / "prometheus/rules", folder / "chart/files/rules", remedy)
    same(BOARDS, folder / "chart/files/dashboards", remedy)
    for message in helm_python.lint(folder / "chart")["messages"]:
        if message["severity"] > 1:
            wrong(f"helm lint: {message}")
    with tempfile.TemporaryDirectory() as made:
        for name, values in render.RENDERED.items():
            (Path(made) / name).mkdir()
            for path, text in render.rendered(values).items():
                parts = render.documents(text)
                if "/tests/" in path:
                    for part in parts:
                        schema(kubernetes_validate, yaml.safe_load(part), path)
                elif path.endswith(".yaml") and parts:
                    (Path(made) / name / Path(path).name).write_text("\n---\n".join(parts) + "\n", encoding="utf-8")
        same(Path(made), folder / "manifests", remedy)
    of_operators, releases = [], {}
    for file in sorted((folder / "manifests").rglob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            releases.setdefault(file.parent, []).append(manifest)
            if manifest["kind"] in OPERATORS:
                module, needed = OPERATORS[manifest["kind"]]
                place = f"{file.relative_to(ROOT)}: {manifest['kind']} {manifest['metadata']['name']}"
                of_operators.append((place, module, manifest["kind"], manifest))
                if not all(manifest["spec"].get(key) for key in needed):
                    wrong(f"{place}: without one of {needed}")
            else:
                schema(kubernetes_validate, manifest, file.relative_to(ROOT))
            if manifest["kind"] == "PrometheusRule":
                ours = [group for rule in RULES for group in yaml.safe_load(rule.read_text(encoding="utf-8"))["groups"]]
                theirs = json.loads(json.dumps(manifest["spec"]["groups"]).replace("https://docs.example.com/runbooks/", "docs/runbooks/"))
                if ours != theirs:
                    wrong(f"{file.relative_to(ROOT)}: not the rules of deploy/prometheus")
    for release, manifests in releases.items():
        for text in references.dangling(manifests):
            wrong(f"{release.relative_to(ROOT)}: {text}")
    if {kind for _, _, kind, _ in of_operators} != set(OPERATORS):
        wrong("the manifests do not have each kind of an operator")
    typed([(place, module, f"I{kind}", manifest) for place, module, kind, manifest in of_operators])
    valued(of_operators)
    with helm_python.Chart.load(folder / "chart") as loaded:
        for refused in ({"image": {"tag": "latest"}}, {"redis": {"existingSecret": ""}}, {"redis": {"password": "x"}},
                        {"workers": {"gp": {"types": ["Other"]}}}, {"scheduler": {"replicas": 0}}):
            try:
                loaded.validate_schema(refused)
                wrong(f"values.schema.json lets {refused} pass")
            except helm_python.HelmError:
                pass


# Kinds of operators, of which Kubernetes has no schema: the modules that have their types and models, and what must not be empty.
PROMETHEUS = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
OPERATORS = {"ServiceMonitor": (PROMETHEUS, ("selector", "endpoints")), "PrometheusRule": (PROMETHEUS, ("groups",)),
             "ScaledObject": ("@kubernetes-models/keda/keda.sh/v1alpha1", ("triggers", "maxReplicaCount"))}


def schema(kubernetes_validate, manifest, place):
    try:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        wrong(f"{place}: {manifest['kind']} {manifest['metadata']['name']}: {error}")


CHECKS = {"rules": rules, "names": names, "dashboards": dashboards, "containers": containers, "units": units, "chart": chart}


def main():
    global packages
    parser = argparse.ArgumentParser(description="Holds what lies in deploy/ together.")
    parser.add_argument("what", nargs="*", help=", ".join(CHECKS))
    parser.add_argument("--packages", type=Path, default=packages)
    asked = parser.parse_args()
    packages = asked.packages
    for name in asked.what or CHECKS:
        CHECKS[name]()
        print(f"{name}: looked at")
    for text in dict.fromkeys(found):
        print(text, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
