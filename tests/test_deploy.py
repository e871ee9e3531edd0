"""The deployment examples name what there is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from gateway.domain.admission import RefusalCode
from gateway.flows.follow_job import JobAlert
from gateway.observe import Metrics
from gateway.wire.problems import Fault

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "config" / "deploy"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def values(found: Any, name: str) -> Iterator[Any]:
    """Every value of that name, however deep."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(found, list):
        for one in found:
            yield from values(one, name)


def variables(text: str) -> dict[str, bool]:
    """The variables that a text reads; whether each has to be set."""
    return {name: default is None for name, default in re.findall(r"\$\{(\w+)(:[-?][^}]*)?\}", text)}


def test_alerts_ask_for_numbers_and_labels_that_there_are() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.calls.labels("r", "503", "credit_store_unavailable").inc()
    metrics.job_alert("parse", JobAlert.NEVER_ENDED)
    metrics.mode_mismatch("parse", "agentic")
    known = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    documented = (ROOT / "docs" / "operating.md").read_text()
    rules = list(values(documents("alerts.yaml"), "expr"))
    assert len(rules) >= 9
    for asked in rules:
        names = set(re.findall(r"gateway_\w+", asked))
        assert names
        assert names <= known | {"gateway_webhook_tries_total"}, asked
        assert all(name in documented for name in names), asked
        codes = {code for matched in re.findall(r'code=~?"([^"]+)"', asked) for code in matched.split("|")}
        assert codes <= {one.value for one in (*RefusalCode, *Fault)}, asked


def test_every_metric_is_documented() -> None:
    documented = (ROOT / "docs" / "operating.md").read_text()
    for family in Metrics(CollectorRegistry()).registry.collect():
        assert f"`{family.name}" in documented, family.name


def test_compose_hands_the_image_only_variables_that_it_reads_and_all_that_it_must_have() -> None:
    read = variables((DEPLOY / "gateway.yaml").read_text())
    (compose,) = documents("compose.yaml")
    handed = set(compose["services"]["gateway"]["environment"])
    assert handed <= set(read)
    documented = (ROOT / "docs" / "deploy.md").read_text()
    for name in read:
        assert f"`{name}`" in documented or name.partition("_")[2] in {"URL", "CREDENTIAL"}, name
    assert {name for name in read if name.endswith("_URL")} <= handed


def test_kubernetes_probes_ports_on_which_something_answers() -> None:
    (image,) = documents("gateway.yaml")
    ports = {
        "serve": {image["listen"]["port"], image["admin"]["listen"]["port"]},
        "background": {image["background"]["listen"]["port"]},
    }
    found = {kind: {int(port.rpartition("-")[2].rstrip("}")) for port in named} for kind, named in ports.items()}
    deployments = [one for one in documents("kubernetes.yaml") if one["kind"] == "Deployment"]
    assert len(deployments) == 2
    for deployment in deployments:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        declared = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert set(declared.values()) == found[container["args"][0]]
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            assert container[probe]["httpGet"]["port"] in declared
        selected = deployment["spec"]["selector"]["matchLabels"]
        assert selected == deployment["spec"]["template"]["metadata"]["labels"]
