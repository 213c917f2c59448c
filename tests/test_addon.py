"""The addon: settings that are taken whole or not at all, and hooks that fail closed."""

import datetime
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from mitmproxy import connection, ctx, exceptions, flow, http, tls
from mitmproxy.proxy import context, events, layer, mode_specs, server_hooks
from mitmproxy.proxy.layers import modes

from route_addon.addon import RouteAddon
from route_addon.carry.guard import Guard
from route_addon.carry.listen.hosted import RelayLayer
from route_addon.carry.tls.layer import RefusalLayer
from route_addon.core.messages import Server
from route_addon.core.targetmap import Verified
from tests.hosting import answer, make_client, make_flow, make_host
from tests.minting import KeyPair, key_pair, write_keys

type Load = Callable[..., RouteAddon]

SECRET = "eyJhbGciOi.a-secret.a-token"


@pytest.fixture
async def host(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """mitmproxy, before our script is loaded; no environment tells it anything."""
    for name in ("JWT_DESKTOP_SIGNING_PUBLIC_KEY", "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    factory = logging.getLogRecordFactory()
    yield make_host()
    logging.setLogRecordFactory(factory)


@pytest.fixture(scope="module")
def key_options(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Small keys, because they are read at each change."""
    pair = key_pair("small", 1024)
    return write_keys(tmp_path_factory.mktemp("keys"), pair, pair)


@pytest.fixture
async def load(host: Any, key_options: Mapping[str, str]) -> AsyncIterator[Load]:
    """Loads the addon, with keys and further options, as the command line sets them."""
    loaded: list[RouteAddon] = []

    def load_addon(**options: object) -> RouteAddon:
        texts = {**key_options, **options}
        host.options.set(*(f"{name}={value}" for name, value in texts.items()), defer=True)
        addon = RouteAddon(Guard())
        host.master.addons.add(addon)
        loaded.append(addon)
        return addon

    yield load_addon
    for addon in loaded:
        addon.done()


@pytest.fixture(params=["stock", "relay"])
def carrier(request: pytest.FixtureRequest) -> str:
    """Who carries."""
    name: str = request.param
    return name


def _website(addon: RouteAddon) -> tuple[Server, ...]:
    assert addon.router is not None
    return addon.router.rules.upstreams["website"]


def _remember(addon: RouteAddon) -> None:
    assert addon.router is not None
    now = time.time()
    addon.router.targets.put(b"token", Verified("10.0.0.1", now + 420), now)


def _remembers(addon: RouteAddon) -> bool:
    assert addon.router is not None
    return addon.router.targets.get(b"token", time.time()) is not None


async def test_loaded(host: Any, load: Load, carrier: str) -> None:
    """The options are there, the guard stands beside the addon and knows what to say."""
    addon = load(route_carrier=carrier, route_website="http://site:81")
    assert host.options.route_website == "http://site:81"
    assert host.master.addons.get("route_guard") is addon.guard
    assert "website=http://site:81 " in addon.guard.describe()
    assert (carrier == "relay") == (addon.relay is not None)


async def test_not_loaded() -> None:
    """Before that there is nothing to say."""
    addon = RouteAddon(Guard())
    assert addon._describe() == "no settings"
    addon.running()
    addon.done()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"route_website": "ftp://x"}, "route_website=ftp://x: must be a URL"),
        ({"route_signing_key": ""}, "route_signing_key: is not set; name a PEM file"),
        ({"route_payload_key": "/no/such.pem"}, "route_payload_key=/no/such.pem: cannot be read"),
        ({"route_cache_ttl": "x"}, "route_cache_ttl=x: Failed to parse option route_cache_ttl"),
        ({"route_websit": "x"}, "route_websit: is no option; did you mean route_website?"),
        ({"route_certs": "/no/such.pem"}, "route_certs=/no/such.pem: "),
        ({"route_upstream_ca": "/no/such.pem"}, "route_upstream_ca=/no/such.pem: "),
        ({"proxy_debug": "true"}, "proxy_debug=true: would log tokens"),
        ({"mode": "regular"}, "mode=regular: the router sets its own mode"),
    ],
    ids=str,
)
async def test_never_loaded(
    host: Any,
    load: Load,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, object],
    sentence: str,
) -> None:
    """A configuration that cannot be used ends the process with one sentence."""
    with pytest.raises(SystemExit) as caught:
        load(**options)
    assert caught.value.code == 1
    _, err = capsys.readouterr()
    assert err.startswith(f"route_addon: {sentence}")
    assert err.count("\n") == 1
    assert host.master.addons.get("route_guard") is None


async def test_never_loaded_by_a_fault(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So does a fault of our own: mitmproxy would go on without us."""

    def fail(*args: object, **details: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("route_addon.addon.build_settings", fail)
    with pytest.raises(SystemExit):
        load()
    _, err = capsys.readouterr()
    assert err.startswith("route_addon: the start failed: RuntimeError at ")
    assert SECRET not in err


async def test_no_listener(host: Any) -> None:
    """Without a listener keys may be missing, and no carrier of ours is there."""
    host.options.update(server=False)
    addon = RouteAddon(Guard())
    host.master.addons.add(addon)
    assert addon.router is not None
    assert addon.relay is None
    with pytest.raises(exceptions.OptionsError, match="route_signing_key: is not set"):
        host.options.update(server=True)
    addon.done()


@pytest.mark.parametrize(
    "change",
    [
        {"route_website": "other"},
        {"route_ports": "xterm=81"},
        {"route_cookie": "other"},
        {"route_trusted_proxies": "none"},
        {"route_head_timeout": 5},
        {"route_website": "other", "route_pyos": "other"},
    ],
    ids=str,
)
async def test_change(host: Any, load: Load, carrier: str, change: dict[str, object]) -> None:
    """A good change comes into force, and good tokens are still known."""
    addon = load(route_carrier=carrier)
    old = addon.router
    _remember(addon)
    host.options.update(**change)
    assert addon.router is not old
    assert _remembers(addon)
    if "route_website" in change:
        assert _website(addon) == (Server(b"http", "other", 80),)
    if addon.relay is not None:
        assert addon.relay.router is addon.router
        assert addon.settings is not None
        assert addon.relay.limits is addon.settings.limits


@pytest.mark.parametrize(
    "change",
    [
        {"route_leeway": 5},
        {"route_target_deny": "10.0.0.0/8"},
        {"route_target_allow": "10.0.0.0/8"},
        {"route_cache_ttl": 5},
        {"route_cache_entries": 5},
    ],
    ids=str,
)
async def test_change_of_what_tokens_depend_on(
    host: Any, load: Load, change: dict[str, object]
) -> None:
    """What might refuse a token now forgets it."""
    addon = load()
    _remember(addon)
    host.options.update(**change)
    assert not _remembers(addon)


@pytest.mark.parametrize("name", ["route_signing_key", "route_payload_key"])
async def test_change_of_keys(
    host: Any, load: Load, tmp_path: Path, stranger: KeyPair, name: str
) -> None:
    """So do other keys."""
    addon = load()
    _remember(addon)
    pem = stranger.public_pem if name == "route_signing_key" else stranger.private_pem
    (tmp_path / "other.pem").write_bytes(pem)
    host.options.update(**{name: str(tmp_path / "other.pem")})
    assert not _remembers(addon)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"route_website": "ftp://x"}, "route_website=ftp://x: must be a URL"),
        ({"route_website": "good", "route_pyos": "ftp://x"}, "route_pyos=ftp://x: must be a URL"),
        ({"route_leeway": -1}, "route_leeway=-1: must be a whole number"),
        ({"route_signing_key": ""}, "route_signing_key: is not set"),
        ({"route_payload_key": "/no/such.pem"}, "route_payload_key=/no/such.pem: cannot be read"),
        ({"route_config": "/no/such.toml"}, "route_config=/no/such.toml: cannot be read"),
        ({"route_certs": "/no/such.pem"}, "route_certs=/no/such.pem: "),
        ({"certs": ["/no/such.pem"]}, "certs=/no/such.pem: "),
        ({"route_upstream_ca": "/no/such.pem"}, "route_upstream_ca=/no/such.pem: "),
        ({"mode": ["regular"]}, "mode=regular: the router sets its own mode"),
        ({"proxy_debug": True}, "proxy_debug=true: would log tokens"),
    ],
    ids=str,
)
async def test_bad_change(
    host: Any, load: Load, carrier: str, change: dict[str, object], sentence: str
) -> None:
    """A bad change is refused as a whole; what was in force stays, and good tokens are known."""
    addon = load(route_carrier=carrier, route_website="site")
    before = {name: getattr(host.options, name) for name in change}
    described = addon.guard.describe()
    _remember(addon)
    with pytest.raises(exceptions.OptionsError) as caught:
        host.options.update(**change)
    assert str(caught.value).startswith(sentence)
    assert before == {name: getattr(host.options, name) for name in change}
    assert addon.guard.describe() == described
    assert _website(addon) == (Server(b"http", "site", 80),)
    assert _remembers(addon)


async def test_change_of_the_carrier(host: Any, load: Load, carrier: str) -> None:
    """Connections are carried to their end by whom they began with: a restart changes that."""
    addon = load(route_carrier=carrier)
    with pytest.raises(exceptions.OptionsError, match=r"\Aroute_carrier=(stock|relay): takes a "):
        host.options.update(route_carrier="relay" if carrier == "stock" else "stock")
    assert addon.settings is not None
    assert addon.settings.carrier == carrier


async def test_bad_change_keeps_what_was_set(host: Any, load: Load, tmp_path: Path) -> None:
    """An option that was set to its default still wins over the file after a bad change."""
    config = tmp_path / "route.toml"
    config.write_text('[upstream.website]\nservers = ["file"]\n')
    addon = load(route_config=config, route_website="http://website")
    for _ in range(2):
        assert _website(addon) == (Server(b"http", "website", 80),)
        with pytest.raises(exceptions.OptionsError):
            host.options.update(route_pyos="ftp://x")


async def test_change_of_others_options(host: Any, load: Load) -> None:
    """What is none of ours changes nothing."""
    addon = load()
    old = addon.router
    host.options.update(anticache=True)
    assert addon.router is old


async def test_connections_are_counted(load: Load) -> None:
    """The relay counts connections, and refuses those above the limit."""
    addon = load(route_max_connections=1)
    assert addon.relay is not None
    first, second = make_client(), make_client()
    addon.client_connected(first)
    addon.client_connected(second)
    assert first.error is None
    assert second.error == "route_max_connections"
    addon.client_disconnected(first)
    third = make_client()
    addon.client_connected(third)
    assert third.error is None
    addon.client_disconnected(third)
    assert len(addon.relay.arrivals) == 0


async def test_refused_connections_are_not_counted(load: Load) -> None:
    """Nor are those that somebody else has refused before."""
    addon = load()
    assert addon.relay is not None
    client = make_client()
    client.error = "refused"
    addon.client_connected(client)
    assert client.error == "refused"
    assert len(addon.relay.arrivals) == 0


async def test_connections_of_the_stock_carrier(load: Load) -> None:
    """The stock carrier counts none."""
    addon = load(route_carrier="stock", route_max_connections=1)
    clients = [make_client(), make_client()]
    for client in clients:
        addon.client_connected(client)
    for client in clients:
        addon.client_disconnected(client)
    assert [client.error for client in clients] == [None, None]


def _question(data: bytes, mode: str = "reverse:http://127.0.0.1:9") -> layer.NextLayer:
    client = make_client(mode_specs.ProxyMode.parse(mode))
    bottom: Any = modes.ReverseProxy(context.Context(client, ctx.options))
    bottom.child_layer = question = layer.NextLayer(bottom.context)
    if data:
        question.events.append(events.DataReceived(client, data))
    return question


async def test_layers(load: Load, carrier: str) -> None:
    """The relay's layer, or mitmproxy's own choice; no TLS without a certificate."""
    addon = load(route_carrier=carrier)
    silent = _question(b"")
    addon.next_layer(silent)
    assert silent.layer is None
    plain = _question(b"GET")
    addon.next_layer(plain)
    assert (type(plain.layer) is RelayLayer) if carrier == "relay" else (plain.layer is None)
    secure = _question(b"\x16\x03\x01")
    addon.next_layer(secure)
    assert type(secure.layer) is RefusalLayer


@pytest.mark.parametrize("mode", ["regular", "socks5", "upstream:http://x"])
async def test_never_layers(load: Load, carrier: str, mode: str) -> None:
    """A connection that is not a reverse proxy's gets no layer of ours: the guard refuses it."""
    addon = load(route_carrier=carrier)
    question = _question(b"\x16\x03\x01", mode)
    addon.next_layer(question)
    assert question.layer is None


async def test_layers_by_a_fault(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault leaves no layer of ours behind, and is logged without what it says."""

    def fail(question: layer.NextLayer, *args: object) -> None:
        question.layer = layer.NextLayer(question.context)
        raise RuntimeError(SECRET)

    monkeypatch.setattr("route_addon.addon.choose_layers", fail)
    addon = load()
    question = _question(b"GET")
    addon.next_layer(question)
    assert question.layer is None
    assert "next_layer failed: RuntimeError at " in caplog.text
    assert SECRET not in caplog.text


async def test_start_of_the_log(
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pems: Mapping[str, bytes],
) -> None:
    """Weak keys deserve a look, and so does what the parent read and we do not."""
    (tmp_path / "weak.pem").write_bytes(pems["public, 1024 bits"])
    monkeypatch.setenv("NAMESERVER_RESOLVER", "10.0.0.10")
    addon = load(route_signing_key=tmp_path / "weak.pem")
    caplog.set_level(logging.INFO)
    addon.running()
    assert "route_signing_key: a key of 1024 bits is weak; use 2048 or more" in caplog.messages
    assert (
        "NAMESERVER_RESOLVER is ignored: names are resolved as the system does" in caplog.messages
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, that is about to expire."""
    path = tmp_path_factory.mktemp("certificates") / "certificate.pem"
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    leaf = trustme.CA().issue_cert("desk.example", not_after=soon)
    leaf.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


async def test_start_of_the_stock_carrier(
    host: Any, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    """What it lacks is said, and that its flows hold what the relay's do not."""
    addon = load(route_carrier="stock")
    caplog.set_level(logging.INFO)
    addon.running()
    assert "the stock carrier has no pools (the first server), no cache, " in caplog.text
    assert "no metrics and no access log" in caplog.text
    assert "the flows of the stock carrier hold tokens: show and export none" in caplog.text
    assert "make_har" in vars(host.master.addons.get("savehar"))


async def test_certificates(
    load: Load,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They are told of at the start, and looked at again when a handshake begins."""
    addon = load(route_certs=certificate)
    assert "; certificates desk.example until " in addon.guard.describe()
    addon.running()
    assert any("desk.example" in message for message in caplog.messages)
    assert addon.certificates is not None
    looks: list[str] = []

    async def refresh() -> None:
        looks.append("refresh")

    monkeypatch.setattr(addon.certificates, "refresh", refresh)
    await addon.tls_clienthello(_hello())
    assert looks == ["refresh"]


def _hello() -> tls.ClientHelloData:
    return tls.ClientHelloData(context.Context(make_client(), ctx.options), _NO_HELLO)


_NO_HELLO: Any = None
"""What a client says; nobody looks into it."""


async def test_handshake_without_certificates(load: Load) -> None:
    """Where there are none, there is nothing to look at."""
    addon = load()
    await addon.tls_clienthello(_hello())
    assert not addon.certificates


async def test_handshake_by_a_fault(
    load: Load,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault there leaves the certificates that are in force."""
    addon = load(route_certs=certificate)
    monkeypatch.setattr(addon.certificates, "refresh", _raise_later)
    await addon.tls_clienthello(_hello())
    assert "tls_clienthello failed: RuntimeError at " in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("server", "sni"),
    [
        (connection.Server(address=("website", 443), tls=True), "website"),
        (connection.Server(address=("website", 80)), None),
        (connection.Server(address=None, tls=True), None),
    ],
    ids=["TLS", "plain", "nowhere"],
)
async def test_name_of_an_upstream(load: Load, server: connection.Server, sni: str | None) -> None:
    """TLS towards an upstream is for the name that was configured, not for the client's Host."""
    addon = load(route_carrier="stock")
    addon.server_connect(server_hooks.ServerConnectionHookData(server, make_client()))
    assert sni == server.sni


async def test_watching(host: Any, load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """Exchanges are flows as long as somebody is there to see them."""
    caplog.set_level(logging.INFO)
    addon = load(route_watch="always")
    assert addon.relay is not None
    addon.running()
    assert addon.relay.is_watched
    before = len(caplog.messages)
    host.options.update(route_watch="never")
    assert not addon.relay.is_watched
    host.options.update(route_watch="always")
    assert addon.relay.is_watched
    assert len(caplog.messages) == before + 2


async def _decide(addon: RouteAddon, flow: http.HTTPFlow) -> None:
    waited = addon.requestheaders(flow)
    if waited is not None:
        await waited


async def _carry(addon: RouteAddon, flow: http.HTTPFlow) -> None:
    await _decide(addon, flow)
    addon.guard.requestheaders(flow)


async def test_request_and_answer(load: Load) -> None:
    """A request is decided, and an upstream's answer mended."""
    addon = load(route_carrier="stock", route_website="http://192.0.2.7:81")
    flow = make_flow(b"/page")
    await _carry(addon, flow)
    assert flow.response is None
    assert (flow.request.data.host, flow.request.data.port) == ("192.0.2.7", 81)
    response = answer(flow, 200, (b"Server", b"x"))
    addon.responseheaders(flow)
    assert "Server" not in response.headers
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"


def _replay(flow: http.HTTPFlow) -> None:
    flow.is_replay = "request"


def _answered(flow: http.HTTPFlow) -> None:
    answer(flow)


@pytest.mark.parametrize("spoil", [_replay, _answered], ids=["replay", "answered by another"])
async def test_undecided_requests(load: Load, spoil: Callable[[http.HTTPFlow], None]) -> None:
    """What is not ours to decide is not, and the guard refuses it."""
    addon = load(route_carrier="stock")
    flow = make_flow(b"/page")
    spoil(flow)
    await _carry(addon, flow)
    assert flow.response is not None
    assert flow.response.status_code == 500


async def test_recorded_requests(load: Load) -> None:
    """A recorded flow stays as it is, in every hook."""
    addon = load(route_carrier="stock")
    flow = make_flow(b"/page", live=False)
    before = flow.get_state()
    await _carry(addon, flow)
    addon.responseheaders(flow)
    assert flow.get_state() == before


async def test_requests_with_an_error(load: Load) -> None:
    """Of a request that mitmproxy has refused itself, only the token is taken out."""
    addon = load(route_carrier="stock")
    request = make_flow(b"/page?jwt_token=" + SECRET.encode())
    request.error = flow.Error("bad")
    await _decide(addon, request)
    assert request.request.path == "/page?[token]"
    assert not addon.guard.is_stamped(request)


async def test_relayed_requests(load: Load) -> None:
    """What the relay has decided is not decided again."""
    addon = load(route_carrier="stock")
    flow = make_flow(b"/page")
    addon.guard.stamp_relayed(flow, ("127.0.0.1", 9), "desk.example")
    await _carry(addon, flow)
    assert flow.response is None
    assert flow.request.path == "/page"
    assert "X-Real-IP" not in flow.request.headers


async def test_hooks_before_the_start(host: Any) -> None:
    """Without a configuration nothing is decided."""
    addon = RouteAddon(Guard())
    flow = make_flow(b"/page")
    await _carry(addon, flow)
    assert flow.response is not None
    assert flow.response.status_code == 500
    addon.responseheaders(flow)
    addon.client_connected(make_client())
    addon.client_disconnected(make_client())
    addon.done()


def _raise(*args: object) -> None:
    raise RuntimeError(SECRET)


async def _raise_later(*args: object) -> None:
    raise RuntimeError(SECRET)


FAULTS: dict[str, tuple[str, Callable[..., Awaitable[None] | None]]] = {
    "requestheaders": ("send_request", _raise_later),
    "responseheaders": ("send_answer", _raise),
}


@pytest.mark.parametrize("hook", FAULTS)
async def test_faults(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    """A fault of our own is a 500, or a connection cut; its message may hold a token."""
    addon = load(route_carrier="stock")
    method, fail = FAULTS[hook]
    monkeypatch.setattr(addon.stock, method, fail)
    flow = make_flow(b"/page")
    await _carry(addon, flow)
    assert (hook == "requestheaders") == (flow.response is not None)
    if hook == "responseheaders":
        answer(flow)
        addon.responseheaders(flow)
        assert flow.error is not None
    assert f"{hook} failed: RuntimeError at " in caplog.text
    assert SECRET not in caplog.text


async def test_done(load: Load, carrier: str) -> None:
    """At the end the threads go."""
    addon = load(route_carrier=carrier)
    addon.done()
    with pytest.raises(RuntimeError):
        await addon.resolver.resolve("localhost")
