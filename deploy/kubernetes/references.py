"""What of the manifests names something that is not among them. deploy/check.py asks."""


def dangling(manifests):
    """Gives a line for each selector, port and target that leads nowhere; manifests: all of one release."""
    of = lambda kind: [manifest for manifest in manifests if manifest["kind"] == kind]  # noqa: E731
    pods = [workload["spec"]["template"] for kind in ("Deployment", "StatefulSet") for workload in of(kind)]
    if not pods:
        yield "there is no pod"
    for service in of("Service"):
        chosen = [pod for pod in pods if has(pod, service["spec"]["selector"])]
        if not chosen:
            yield f"{name(service)}: no pod has its selector's labels"
        for port in service["spec"]["ports"]:
            without = [pod for pod in chosen if port["targetPort"] not in ports(pod)]
            if without:
                yield f"{name(service)}: a pod has no port {port['targetPort']}"
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for one in of(kind):
            if not any(has(pod, one["spec"][key].get("matchLabels", {})) for pod in pods):
                yield f"{name(one)}: no pod has its selector's labels"
    for monitor in of("ServiceMonitor"):
        chosen = [service for service in of("Service") if has(service, monitor["spec"]["selector"]["matchLabels"])]
        named = {port["name"] for service in chosen for port in service["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in named:
                yield f"{name(monitor)}: no service that it chooses has a port {endpoint['port']}"
    for scaled in of("ScaledObject"):
        if scaled["spec"]["scaleTargetRef"]["name"] not in {one["metadata"]["name"] for one in of("Deployment")}:
            yield f"{name(scaled)}: no deployment is called {scaled['spec']['scaleTargetRef']['name']}"
    services = {service["metadata"]["name"] for service in of("Service")}
    for ingress in of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                if path["backend"]["service"]["name"] not in services:
                    yield f"{name(ingress)}: no service is called {path['backend']['service']['name']}"
    accounts = {account["metadata"]["name"] for account in of("ServiceAccount")} | {"default"}
    for pod in pods:
        if pod["spec"].get("serviceAccountName", "default") not in accounts:
            yield f"no service account is called {pod['spec']['serviceAccountName']}"


def name(manifest):
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def has(thing, labels):
    return labels.items() <= thing["metadata"].get("labels", {}).items()


def ports(pod):
    """By number and by name."""
    all_ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return {port["containerPort"] for port in all_ports} | {port.get("name") for port in all_ports}
