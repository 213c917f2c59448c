"""The dashboard, the alert rules and the queries of docs/metrics.md, against a real scrape."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
from ruamel.yaml import YAML

from route_addon.serve.metrics.families import FAMILIES
from tests.e2e.harness import ROOT, Command, Fleet, Router, build_request
from tests.e2e.ports import free_port
from tests.e2e.scrape import Scrape

DASHBOARD = ROOT / "deploy" / "grafana" / "route_addon.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
PAGE = ROOT / "docs" / "metrics.md"

TARGET_LABELS = {"job", "instance"}
"""What Prometheus puts on every sample that it scrapes."""
OF_PROMETHEUS = re.compile(r"\$(__rate_interval|location)")
SEVERITIES = {"critical", "warning", "info"}


class Query(NamedTuple):
    """A query, and where it stands."""

    place: str
    text: str


def _read_dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return read


def _read_rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _find_queries() -> Iterator[Query]:
    for panel in _read_dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield Query(f"panel {panel['title']}", target["expr"])
    for rule in _read_rules():
        yield Query(f"alert {rule['alert']}", rule["expr"])
    for text in re.findall(r"```promql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        yield Query("docs/metrics.md", text)


QUERIES = tuple(_find_queries())


def _parse(query: Query) -> promql_parser.Expr:
    """The query, with Grafana's variables in place."""
    values = {"__rate_interval": "1m", "location": ".*"}
    return promql_parser.parse(OF_PROMETHEUS.sub(lambda match: values[match[1]], query.text))


class Parts(NamedTuple):
    """What a query names."""

    metrics: set[str]
    labels: set[str]


def _take_apart(query: Query) -> Parts:
    parts = Parts(set(), set())

    def visit(node: promql_parser.Expr) -> bool:
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql_parser.VectorSelector):
            parts.metrics.add(str(selector.name))
            parts.labels.update(matcher.name for matcher in selector.matchers.matchers)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            parts.labels.update(node.modifier.labels)
        return True

    promql_parser.walk(_parse(query), visit)
    return parts


@pytest.fixture(scope="module")
def scrape(
    installation: Mapping[str, object],
    shared_fleet: Fleet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scrape:
    """All metrics there are: of a router with pools and a log that has seen a bit of everything."""
    port = free_port()
    options = {
        **installation,
        "route_website": f"{shared_fleet.website.url},{shared_fleet.console.url}",
        "route_metrics": port,
        "route_access_log": "json",
        "route_access_log_file": tmp_path_factory.mktemp("log") / "log",
        "flow_detail": 0,
    }
    with Router(Command(options)) as router:
        router.ask(build_request(b"/x"))
        router.ask(build_request(b"/filer"))
        with router.open_websocket(f"/websockify?{shared_fleet.alice.token.decode()}"):
            pass
        router.settle()
        return Scrape(port)


def test_every_metric_is_scraped(scrape: Scrape) -> None:
    """Each family of the table stands in a scrape, and nothing else does."""
    names = {family.name.removesuffix("_total"): family for family in FAMILIES}
    assert set(scrape.families) == set(names)
    for name, found in scrape.families.items():
        assert (found.type, found.documentation) == (names[name].kind, names[name].help)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_queries(query: Query, scrape: Scrape) -> None:
    """Each one is PromQL, and names metrics and labels that a scrape has."""
    scraped = {name: dict(labels) for name, labels in scrape.values}
    parts = _take_apart(query)
    assert parts.metrics
    assert parts.metrics <= set(scraped)
    known = set().union(*(scraped[name] for name in parts.metrics))
    assert parts.labels <= known | TARGET_LABELS


def test_every_metric_is_shown() -> None:
    """The dashboard leaves no metric out."""
    shown = set().union(
        *(_take_apart(query).metrics for query in QUERIES if query.place.startswith("panel"))
    )
    shown = {re.sub(r"_bucket\Z", "", name) for name in shown}
    assert {family.name for family in FAMILIES} <= shown


def test_dashboard() -> None:
    """Grafana can lay it out: panels have their own numbers and places, variables are there."""
    dashboard = _read_dashboard()
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        is_apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert is_apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "location"}
    for panel in panels:
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


def test_alerts() -> None:
    """Each says how bad it is and what to look at, under a name of its own."""
    rules = _read_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def _find_promtool() -> str:
    """Where promtool is; without it the parsers alone have looked."""
    found = shutil.which("promtool", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("promtool is not there: scripts/promtool-setup says why")
    return found


def test_alerts_by_promtool() -> None:
    """Where promtool is there, it finds no fault with them."""
    promtool = _find_promtool()
    done = subprocess.run(
        [promtool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(_read_rules())} rules found" in done.stdout


def test_this_test_sees(scrape: Scrape) -> None:
    """A query that is wrong would be found."""
    with pytest.raises(ValueError):
        _parse(Query("here", "sum(rate(route_requests_total[5m])"))
    parts = _take_apart(Query("here", 'max by (user) (rate(route_request_total{pod="x"}[1m])) > 1'))
    assert parts == Parts({"route_request_total"}, {"user", "pod"})
    assert not parts.metrics <= {name for name, _ in scrape.values}


def test_promtool_reads_a_scrape(scrape: Scrape, tmp_path: Path) -> None:
    """Where promtool is there, it reads a scrape as Prometheus would, and has nothing to say."""
    promtool = _find_promtool()
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=scrape.text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
