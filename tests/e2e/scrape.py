"""A scrape, read as Prometheus reads it."""

from collections.abc import Mapping
from urllib.request import Request, urlopen

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.e2e.wire import PATIENCE_S, wait_until

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """All samples of one scrape.

    Args:
        port: The listener's, on 127.0.0.1.
        is_open: Whether to ask for OpenMetrics, whose parser is stricter.
    """

    def __init__(self, port: int, *, is_open: bool = False) -> None:
        headers = {"Accept": OPENMETRICS} if is_open else {}
        request = Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
        with urlopen(request, timeout=PATIENCE_S) as answer:
            self.text: str = answer.read().decode()
        parse = parse_openmetrics if is_open else parse_text
        self.families = {family.name: family for family in parse(self.text)}
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels; 0 for none."""
        wanted = set(labels.items())
        return sum(
            value
            for (known, its_labels), value in self.values.items()
            if known == name and wanted <= its_labels
        )


def wait_for_sample(port: int, value: float, name: str, **labels: str) -> Scrape:
    """Scrape until a sample has this value: it may end a little after its client has seen so."""
    scrapes: list[Scrape] = []

    def has_value() -> bool:
        scrapes.append(Scrape(port))
        return scrapes[-1].get(name, **labels) == value

    wait_until(has_value, f"{name}{labels} becomes {value}")
    return scrapes[-1]


def growth(before: Scrape, after: Scrape, name: str) -> Mapping[frozenset[tuple[str, str]], float]:
    """How much each sample of a name has grown between two scrapes, where it has."""
    grown = {
        labels: value - before.values.get((known, labels), 0)
        for (known, labels), value in after.values.items()
        if known == name
    }
    return {labels: value for labels, value in grown.items() if value}
