"""Pods that cannot be reached, and pods that must not be."""

import socket
import time
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.conftest import Carrier
from tests.e2e.harness import (
    ALICE,
    NOBODY,
    Backend,
    Fleet,
    Request,
    Router,
    Wire,
    build_request,
    check_refusal,
    check_secrets,
)
from tests.minting import mint


def _ask(router: Router, target: str, port: int = 8080) -> bytes:
    token = mint(target, now=time.time())
    return build_request(b"/container/%b/%d/x" % (token, port))


def _own_address() -> str | None:
    """An address of this machine that is not loopback; None when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


DENIED = [
    NOBODY,
    "127.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "[::1]",
    "::",
    "fe80::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "localhost",
    "LOCALHOST.",
]


@pytest.mark.parametrize("target", DENIED)
def test_a_denied_target(target: str, router: Router, fleet: Fleet) -> None:
    """It is a 401, and so is every service of the router's own machine."""
    check_refusal(router.ask(_ask(router, target, fleet.pyos.port)), 401, fleet)


def test_all_refused_targets_look_alike(router: Router, fleet: Fleet) -> None:
    """Denied, malformed and undecryptable: one status, one text, so that nothing can be learnt."""
    bodies = set()
    for target in (*DENIED, "a b", "x:80", "127.1"):
        answer = router.ask(_ask(router, target))
        request_id = answer.get(b"X-Request-ID")
        assert request_id
        bodies.add((answer.status, answer.body.replace(request_id, b"")))
    assert len(bodies) == 1


@pytest.fixture(scope="module")
def strict(usual_options: Mapping[str, object], carrier: Carrier) -> Iterator[Router]:
    """A router on all addresses that allows no loopback, and denies more."""
    options = {
        **usual_options,
        "route_target_allow": "",
        "route_target_deny": "198.51.100.0/24,.internal",
    }
    with Router(carrier.start(options, arguments=("--listen-host", "0.0.0.0"))) as router:
        yield router


def test_the_router_s_own_listener(strict: Router, fleet: Fleet) -> None:
    """A token that names the router itself makes no loop."""
    address = _own_address()
    if address is None:
        pytest.skip("needs an address that is not loopback")
    check_refusal(strict.ask(_ask(strict, address, strict.port)), 401, fleet)


@pytest.mark.parametrize(
    "target", ["198.51.100.7", "pod.internal", "internal", "x.localhost", ALICE]
)
def test_denied_networks_and_names(target: str, strict: Router, fleet: Fleet) -> None:
    """``route_target_deny`` adds to what is denied, by address and by name."""
    check_refusal(strict.ask(_ask(strict, target)), 401, fleet)


def test_a_pod_that_refuses(router: Router, fleet: Fleet) -> None:
    """502, and no word of where the pod is."""
    with socket.create_server((fleet.alice.address, 0)) as probe:
        port = probe.getsockname()[1]
    answer = router.ask(build_request(b"/container/%b/%d/x" % (fleet.alice.token, port)))
    check_refusal(answer, 502, fleet)
    assert str(port).encode() not in answer.raw


def test_a_pod_that_is_back(router: Router, fleet: Fleet) -> None:
    """A pod that refused once is asked again at the next request, on the same connection too."""
    pod = Backend(fleet.alice.address)
    pod.close()
    request = build_request(b"/container/%b/%d/x" % (fleet.alice.token, pod.port))
    assert router.ask(request).status == 502
    with Backend(fleet.alice.address, pod.port):
        assert router.ask(request).status == 200


def test_a_name_that_does_not_resolve(router: Router, fleet: Fleet) -> None:
    """502, and the name is not told."""
    answer = router.ask(_ask(router, "no-such-pod.invalid"))
    check_refusal(answer, 502, fleet)
    assert b"no-such-pod" not in answer.raw


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n\r\n", id="no status line"),
        pytest.param(b"hello\r\n\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", id="half a head"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            id="two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="a length and chunks",
        ),
    ],
)
def test_an_answer_that_is_none(raw: bytes, router: Router, fleet: Fleet) -> None:
    """502 without a word of the upstream, and the router goes on."""

    def script(wire: Wire, request: Request) -> None:
        wire.send(raw)
        wire.close()

    fleet.pyos.play(script)
    answer = router.ask(build_request(b"/API/x"))
    assert answer.status == 502
    check_secrets(answer.raw)
    assert str(fleet.pyos.port).encode() not in answer.raw
    fleet.forget()
    assert router.ask(build_request(b"/API/x")).status == 200
