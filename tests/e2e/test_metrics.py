"""Metrics of real processes, scraped over HTTP and read by Prometheus' own parser."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from route_addon.serve.metrics.families import BUCKETS_S, FAMILIES
from tests.e2e.conftest import client_context
from tests.e2e.harness import (
    ALICE,
    BOB,
    TOKEN,
    Command,
    Fleet,
    Http2Client,
    Router,
    Wire,
    build_request,
)
from tests.e2e.ports import free_port
from tests.e2e.scrape import Scrape, growth, wait_for_sample
from tests.e2e.wire import Request


@dataclass(frozen=True)
class Observed:
    """A router whose metrics are on."""

    router: Router
    port: int

    def scrape(self) -> Scrape:
        """All of its metrics, once it has counted what it was asked for."""
        self.router.settle()
        return Scrape(self.port)


@pytest.fixture(scope="module", params=[0, 1], ids=["unwatched", "watched"])
def observed(
    request: pytest.FixtureRequest, installation: Mapping[str, object]
) -> Iterator[Observed]:
    """A router that is observed, and watched or not."""
    port = free_port()
    options = {**installation, "route_metrics": port, "flow_detail": request.param}
    with Router(Command(options)) as router:
        yield Observed(router, port)


def labels(**of: str) -> frozenset[tuple[str, str]]:
    """A sample's labels."""
    return frozenset(of.items())


def test_known_traffic(observed: Observed, fleet: Fleet, certificate: Path) -> None:
    """Requests count by what they were: forwarded, refused, unreadable, HTTP/1 and HTTP/2."""
    before = observed.scrape()
    ask = observed.router.ask
    token = (b"ABCAuthorization", fleet.alice.token)
    for _ in range(3):
        assert ask(build_request(b"/page?x=1")).status == 200
    assert ask(build_request(b"/API/x", method=b"POST", body=b"12345")).status == 200
    assert ask(build_request(b"/filer/a", token)).status == 200
    assert ask(build_request(b"/filer/b", token)).status == 200
    assert ask(build_request(b"/filer/c")).status == 401
    assert ask(b"GARBAGE\r\n\r\n").status == 400
    with Http2Client(observed.router.address, client_context(certificate, "h2")) as client:
        assert client.ask(b"/snapshot/x").status == 401
        assert client.ask(b"/healthz").status == 200
    after = observed.scrape()
    assert growth(before, after, "route_requests_total") == {
        labels(location="/", upstream="website", method="GET", status="200"): 3,
        labels(location="/API", upstream="pyos", method="POST", status="200"): 1,
        labels(location="/filer", upstream="pod", method="GET", status="200"): 2,
        labels(location="/filer", upstream="none", method="GET", status="401"): 1,
        labels(location="none", upstream="none", method="none", status="400"): 1,
        labels(location="/snapshot", upstream="none", method="GET", status="401"): 1,
        labels(location="/healthz", upstream="none", method="GET", status="200"): 1,
    }
    assert growth(before, after, "route_refusals_total") == {
        labels(location="/filer", slug="token_missing"): 1,
        labels(location="none", slug="bad_request"): 1,
        labels(location="/snapshot", slug="token_missing"): 1,
    }
    assert growth(before, after, "route_received_bytes_total") == {labels(location="/API"): 5}
    sent = growth(before, after, "route_sent_bytes_total")
    assert sent[labels(location="/")] == 3 * len("website")
    assert growth(before, after, "route_token_cache_hits_total") == {labels(): 1}
    assert growth(before, after, "route_token_cache_misses_total") == {labels(): 1}
    for name in ("route_request_duration_seconds_count", "route_first_byte_seconds_count"):
        counted = growth(before, after, name)
        assert (counted[labels(location="/")], counted[labels(location="/filer")]) == (3, 3)
    assert not growth(before, after, "route_cuts_total")


def test_durations(observed: Observed, fleet: Fleet) -> None:
    """A slow upstream is seen in the sums, and the largest bucket holds all."""

    def answer_slowly(wire: Wire, request: Request) -> None:
        wait_for_sample(observed.port, 1, "route_open_requests", location="/API")
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nO")
        wait_for_sample(observed.port, 1, "route_open_requests", location="/API")
        wire.send(b"K")

    before = observed.scrape()
    fleet.pyos.play(answer_slowly)
    assert observed.router.ask(build_request(b"/API/slow")).body == b"OK"
    after = wait_for_sample(observed.port, 0, "route_open_requests", location="/API")
    at = labels(location="/API")
    total = growth(before, after, "route_request_duration_seconds_sum")[at]
    first = growth(before, after, "route_first_byte_seconds_sum")[at]
    assert 0 < first < total
    buckets = growth(before, after, "route_request_duration_seconds_bucket")
    assert buckets[labels(location="/API", le="+Inf")] == 1
    assert labels(location="/API", le=f"{BUCKETS_S[0]}") not in buckets


def test_a_websocket(observed: Observed, fleet: Fleet) -> None:
    """It counts when it opens, is open until it ends, and its bytes are known as they pass."""
    before = observed.scrape()
    target = f"/websockify?jwt_token={fleet.alice.token.decode()}"
    with observed.router.open_websocket(target) as websocket:
        websocket.send(b"x" * 1000)
        assert websocket.recv() == b"x" * 1000
        during = observed.scrape()
        assert during.get("route_open_websockets", location="/websockify") == 1
        assert during.get("route_open_requests", location="/websockify") == 0
        assert growth(before, during, "route_requests_total") == {
            labels(location="/websockify", upstream="pod", method="GET", status="101"): 1
        }
        passed = growth(before, during, "route_received_bytes_total")
        assert passed[labels(location="/websockify")] > 1000
    after = wait_for_sample(observed.port, 0, "route_open_websockets", location="/websockify")
    passed = growth(before, after, "route_sent_bytes_total")
    assert 1000 < passed[labels(location="/websockify")] < 1100
    assert sum(growth(before, after, "route_requests_total").values()) == 1
    assert not growth(before, after, "route_request_duration_seconds_count")


def test_who_leaves_and_who_fails(observed: Observed, fleet: Fleet) -> None:
    """A client that goes before the answer is a 499; an answer that breaks off is a cut."""
    before = observed.scrape()
    fleet.pyos.play(lambda wire, request: None)
    with observed.router.connect() as client:
        client.send(build_request(b"/API/never"))
        wait_for_sample(observed.port, 1, "route_open_requests", location="/API")
        client.reset()
    after = wait_for_sample(observed.port, 0, "route_open_requests", location="/API")
    assert growth(before, after, "route_requests_total") == {
        labels(location="/API", upstream="pyos", method="GET", status="499"): 1
    }

    def break_off(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        wire.close()

    fleet.pyos.play(break_off)
    with observed.router.connect() as client:
        client.send(build_request(b"/API/part"))
        client.read_to_end()
    cuts = before.get("route_cuts_total", location="/API") + 2
    after = wait_for_sample(observed.port, cuts, "route_cuts_total", location="/API")
    assert growth(before, after, "route_refusals_total") == {
        labels(location="/API", slug="upstream_reset"): 1
    }


def test_the_http_cache(observed: Observed, fleet: Fleet) -> None:
    """Misses and hits, and what is stored."""
    before = observed.scrape()
    fresh = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 1\r\n\r\nx"
    fleet.website.play(fresh)
    for _ in range(3):
        assert observed.router.ask(build_request(b"/kept")).body == b"x"
    after = observed.scrape()
    assert growth(before, after, "route_http_cache_requests_total") == {
        labels(location="/", result="uri-miss"): 1,
        labels(location="/", result="hit"): 2,
    }
    assert growth(before, after, "route_http_cache_stored_total") == {labels(): 1}
    assert after.get("route_http_cache_bytes") > before.get("route_http_cache_bytes")


@pytest.mark.parametrize("is_open", [False, True], ids=["text", "OpenMetrics"])
def test_both_formats(observed: Observed, fleet: Fleet, is_open: bool) -> None:
    """Prometheus' parsers take every line; each family is there, with its type and its labels."""
    target = f"/websockify?jwt_token={fleet.alice.token.decode()}"
    with observed.router.open_websocket(target):
        pass
    scrape = Scrape(observed.port, is_open=is_open)
    for family in FAMILIES:
        found = scrape.families.get(family.name.removesuffix("_total"))
        if family.name.startswith("route_pool_") or family.name.startswith("route_access_log"):
            # There are no pools, and there is no log.
            assert found is None
            continue
        assert found is not None, family.name
        assert found.type == family.kind
        assert found.documentation == family.help
        assert {frozenset(sample.labels) - {"le"} for sample in found.samples} == {
            frozenset(family.labels)
        }
    assert len(scrape.families) == len(FAMILIES) - 7


def test_no_secrets(observed: Observed, fleet: Fleet) -> None:
    """No token, no address, no target and nothing that a client says is in it."""
    token = fleet.alice.token
    observed.router.ask(build_request(b"/filer/secret?jwt_token=" + token, method=b"BREW"))
    observed.router.ask(build_request(b"/container/%s/80/secret" % token))
    observed.router.ask(build_request(b"/filer/secret", (b"Cookie", b"jwt_token=" + token)))
    text = observed.scrape().text
    assert TOKEN.search(text.encode()) is None
    for secret in ("secret", "BREW", "127.0.0.", ALICE, BOB, "desk.example"):
        assert secret not in text


def test_label_sets_are_bounded(observed: Observed, fleet: Fleet) -> None:
    """Whatever clients ask and upstreams answer, the second round makes no new series."""

    def play_round(first: int) -> None:
        for number in range(first, first + 20):
            fleet.pyos.play(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (560 + number))
            method = b"M" + b"A" * number
            observed.router.ask(build_request(b"/API/%d" % number, method=method))

    play_round(0)
    before = set(observed.scrape().values)
    play_round(20)
    assert set(observed.scrape().values) == before


def test_the_public_listener_has_no_metrics(observed: Observed, fleet: Fleet) -> None:
    """/metrics is the website's there."""
    assert observed.router.ask(build_request(b"/metrics")).body == b"website"


def test_certificates_and_keys(observed: Observed, fleet: Fleet) -> None:
    """When the first certificate expires, how many keys there are and since when."""
    scrape = observed.scrape()
    began = scrape.get("process_start_time_seconds")
    assert scrape.get("route_certificate_expiry_timestamp_seconds") > began
    assert scrape.get("route_keys", kind="signing") == 1
    assert scrape.get("route_keys", kind="payload") == 1
    assert began - 60 < scrape.get("route_keys_loaded_timestamp_seconds") < began + 60
    assert scrape.get("process_resident_memory_bytes") > 2**20
    assert scrape.get("route_workers") == 1


def test_it_can_be_switched(installation: Mapping[str, object]) -> None:
    """Off, nothing listens, nothing is counted and prometheus-client is not even imported."""
    first, second = free_port(), free_port()
    options = {**installation, "route_metrics": "0", "flow_detail": 0}
    with Router(Command(options), has_remote=True) as router:
        assert router.run_inside(OBSERVER) == "None False"
        router.run_inside(f"ctx.options.update(route_metrics='{first}'); result = ''")
        router.ask(build_request(b"/healthz"))
        wait_for_sample(first, 1, "route_requests_total", location="/healthz")
        router.run_inside(f"ctx.options.update(route_metrics='127.0.0.1:{second}'); result = ''")
        assert Scrape(second).get("route_workers") == 1
        with pytest.raises(OSError):
            Scrape(first)
        taken = router.run_inside(f"ctx.options.update(route_metrics='{router.port}'); result = ''")
        assert "cannot be listened on" in taken
        router.run_inside("ctx.options.update(route_metrics=''); result = ''")
        assert router.run_inside(OBSERVER).startswith("None ")
        with pytest.raises(OSError):
            Scrape(second)


OBSERVER = """
import sys
relay = ctx.master.addons.get("route").relay
result = f"{relay.observer} {'prometheus_client' in sys.modules}"
"""


def test_a_port_that_is_taken(installation: Mapping[str, object], fleet: Fleet) -> None:
    """The start ends with a sentence that names option, value and remedy."""
    port = fleet.website.port
    ended = Command({**installation, "route_metrics": port}).run()
    assert ended.returncode == 1
    assert f"route_metrics=127.0.0.1:{port}: cannot be listened on" in ended.stderr
    assert "or 0 for no metrics" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_pools(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Servers, those that are up, tries and failures; by upstream, never by address."""
    dead = free_port()
    port = free_port()
    servers = f"{fleet.website.url};max_fails=1;fail_timeout=60,http://127.0.0.1:{dead}"
    options = {**installation, "route_website": servers, "route_metrics": port, "flow_detail": 0}
    with Router(Command(options)) as router:
        for _ in range(6):
            assert router.ask(build_request(b"/x", (b"Cache-Control", b"no-store"))).status == 200
        router.settle()
        scrape = Scrape(port)
    assert scrape.get("route_pool_servers", upstream="website") == 2
    assert scrape.get("route_pool_servers_up", upstream="website") == 1
    failures = scrape.get("route_pool_failures_total", upstream="website")
    assert failures >= 1
    assert scrape.get("route_pool_requests_total", upstream="website") == 6 + failures
    assert str(dead) not in scrape.text


def test_stock_says_that_it_has_none(installation: Mapping[str, object]) -> None:
    """The stock carrier starts, and says what it lacks."""
    port = free_port()
    options = {**installation, "route_carrier": "stock", "route_metrics": port}
    with Router(Command(options)) as router:
        router.wait_for("no metrics and no access log")
        with pytest.raises(OSError):
            Scrape(port)
