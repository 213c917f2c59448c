"""What is settled before the router listens: options that are registered, and mitmproxy's own."""

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from mitmproxy import addonmanager, optmanager

from route_addon.carry.tls.certificate import CertificateFiles
from route_addon.carry.tls.certificates import Certificates
from route_addon.config.build import build_settings
from route_addon.config.environment import default_values
from route_addon.config.settings import Settings
from route_addon.options import OPTIONS, BadOption
from route_addon.start import (
    NAMES,
    check_host_options,
    is_set,
    load_certificates,
    load_upstream_context,
    option_values,
    refuse_start,
    register_options,
    remove_host_addons,
    spare_collector,
)
from tests.hosting import make_host


@pytest.fixture
def host() -> Iterator[Any]:
    """mitmproxy, before our script is loaded."""
    with make_host() as host:
        yield host


def _register(host: Any, **environment: str) -> None:
    make_loader: Any = addonmanager.Loader
    register_options(make_loader(host.master), environment)


def _refusal(host: Any, **environment: str) -> str:
    with pytest.raises(BadOption) as caught:
        _register(host, **environment)
    return str(caught.value)


def test_registered(host: Any) -> None:
    """Every option is mitmproxy's too, with its type, its help and the names of its environment."""
    _register(host)
    assert option_values() == default_values({})
    for option in OPTIONS:
        registered = host.options._options[option.name]
        assert registered.typespec is type(option.default)
        assert registered.help.startswith(option.help)
        assert f" Environment: {option.name.upper()}" in registered.help
        assert (f" Unit: {option.unit}." in registered.help) == bool(option.unit)


def test_environment_is_the_default(host: Any) -> None:
    """What the environment says stands where an option is not set, and is not taken for set."""
    _register(host, NODE_NAME="node-7", ROUTE_CACHE_TTL="5")
    assert host.options.route_node_name == "node-7"
    assert host.options.route_cache_ttl == 5
    assert not is_set("route_node_name")
    host.options.reset()
    assert host.options.route_node_name == "node-7"


def test_bad_environment(host: Any) -> None:
    """A value of the environment that has no meaning is refused."""
    assert _refusal(host, ROUTE_CACHE_TTL="x") == (
        "ROUTE_CACHE_TTL=x: must be a whole number of seconds"
    )


def test_registered_again(host: Any) -> None:
    """A script that is loaded again finds its options as they were left."""
    _register(host)
    host.options.update(route_node_name="node-7")
    _register(host)
    assert host.options.route_node_name == "node-7"
    assert is_set("route_node_name")


def test_command_line(host: Any) -> None:
    """What ``--set`` says of options that mitmproxy did not know yet is taken at once."""
    host.options.set(
        "route_node_name=node-7", "route_cache_ttl=5", "route_allow_known_keys=true", defer=True
    )
    _register(host, NODE_NAME="other")
    assert host.options.route_node_name == "node-7"
    assert host.options.route_cache_ttl == 5
    assert host.options.route_allow_known_keys is True
    assert host.options.deferred == {}


def test_mitmproxys_config(host: Any) -> None:
    """So is what mitmproxy's own configuration file says."""
    host.options.update_defer(route_node_name="node-7", route_cache_ttl=5)
    _register(host)
    assert host.options.route_node_name == "node-7"
    assert host.options.route_cache_ttl == 5


@pytest.mark.parametrize(
    "specs",
    [
        pytest.param(["route_cache_ttl=abc"], id="no number"),
        pytest.param(["route_cache_ttl="], id="empty number"),
        pytest.param(["route_cache_ttl=1.5"], id="no whole number"),
        pytest.param(["route_allow_known_keys=yes"], id="no boolean"),
        pytest.param(["route_cache_ttl=1", "route_cache_ttl=2"], id="number twice"),
        pytest.param(["route_cookie=a", "route_cookie=b"], id="text twice"),
        pytest.param(["route_cookie=a", "route_cookie=a"], id="the same text twice"),
        pytest.param(["route_cookie"], id="text without a value"),
    ],
)
def test_bad_command_line(host: Any, specs: list[str]) -> None:
    """A value of the wrong type, or one given twice, is refused with the option's name."""
    host.options.set(*specs, defer=True)
    sentence = _refusal(host)
    name, _, _ = specs[0].partition("=")
    values = ", ".join(spec.partition("=")[2] for spec in specs)
    assert sentence.startswith(f"{name}={values}: " if values else f"{name}: ")
    assert sentence.endswith("; give each option once, with its type")


@pytest.mark.parametrize(
    "values",
    [{"route_cache_ttl": "abc"}, {"route_cookie": 5}, {"route_allow_known_keys": "true"}],
    ids=str,
)
def test_bad_mitmproxys_config(host: Any, values: dict[str, object]) -> None:
    """So is a value of the wrong type in mitmproxy's own configuration file."""
    host.options.update_defer(**values)
    sentence = _refusal(host)
    assert next(iter(values)) in sentence
    assert sentence.endswith("; give each option once, with its type")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("route_web_site", "route_website"),
        ("route_signing_keys", "route_signing_key"),
        ("route_trusted_proxy", "route_trusted_proxies"),
    ],
)
def test_unknown_options(host: Any, name: str, near: str) -> None:
    """An option that does not exist is refused, with the one that may have been meant."""
    host.options.set(f"{name}=x", "route_node_name=y", "other_addon=z", defer=True)
    assert _refusal(host) == f"{name}: is no option; did you mean {near}?"


def test_unlike_any_option(host: Any) -> None:
    """One that is like none is refused too."""
    host.options.set("route_=x", defer=True)
    assert _refusal(host).startswith("route_: is no option; did you mean route_")


def test_options_of_others(host: Any) -> None:
    """Options of addons that are loaded later are none of ours."""
    host.options.set("other_addon=x", defer=True)
    _register(host)
    assert list(host.options.deferred) == ["other_addon"]


HOST_OPTIONS = {
    "connection_strategy": ("lazy", "eager"),
    "keep_host_header": (True, False),
    "block_global": (False, True),
    "onboarding": (False, True),
    "tcp_timeout": (3600, 600),
    "keep_alt_svc_header": (True, False),
}


@pytest.mark.parametrize("name", HOST_OPTIONS)
def test_host_options(host: Any, name: str) -> None:
    """mitmproxy's own options become those of a public gateway."""
    ours, theirs = HOST_OPTIONS[name]
    assert getattr(host.options, name) == theirs
    _register(host)
    assert getattr(host.options, name) == ours


@pytest.mark.parametrize("name", HOST_OPTIONS)
@pytest.mark.parametrize("is_default", [True, False])
def test_host_options_of_the_user(host: Any, name: str, is_default: bool) -> None:
    """What the user has set stays, be it mitmproxy's default."""
    value = HOST_OPTIONS[name][is_default]
    host.options.update(**{name: value})
    _register(host)
    assert getattr(host.options, name) == value


@pytest.mark.parametrize("theirs", [None, ["path", "size"]])
def test_columns_of_mitmweb(host: Any, theirs: list[str] | None) -> None:
    """mitmweb's list shows comments, unless the user wants other columns; others have no list."""
    host.options.add_option("web_columns", Sequence[str], ["path"], "")
    if theirs is not None:
        host.options.update(web_columns=theirs)
    _register(host)
    assert host.options.web_columns == (theirs or ["path", "method", "status", "comment", "time"])


@pytest.mark.parametrize("is_wanted", [False, True])
def test_host_addons(host: Any, is_wanted: bool) -> None:
    """Those that would change what passes go, unless the user has asked for them; others stay."""
    if is_wanted:
        host.options.update(onboarding=True)
    _register(host)
    before = set(host.master.addons.lookup)
    remove_host_addons()
    gone = before - set(host.master.addons.lookup)
    assert gone == ({"disableh2c"} if is_wanted else {"disableh2c", "onboarding"})


def test_is_set(host: Any) -> None:
    """mitmproxy marks what nobody has set, whatever the value: what we lean on is still there."""
    _register(host)
    option = host.options._options["route_node_name"]
    assert option.value is optmanager.unset
    assert not is_set("route_node_name")
    host.options.update(route_node_name="")
    assert option.value == ""
    assert not host.options.has_changed("route_node_name")
    assert is_set("route_node_name")
    host.options.reset()
    assert not is_set("route_node_name")


@pytest.mark.parametrize("mode", ["reverse:http://127.0.0.1:9", "reverse:https://x@8443"])
def test_modes(host: Any, mode: str) -> None:
    """The user may say how and where to listen as a reverse proxy; else the mode is ours to set."""
    _register(host)
    check_host_options()
    host.options.update(mode=[mode])
    check_host_options()
    assert host.options.mode == [mode]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"proxy_debug": True}, "proxy_debug=true: would log tokens; leave it out"),
        (
            {"connection_strategy": "eager"},
            "connection_strategy=eager: would connect before anything is decided, and be refused; "
            "leave it out",
        ),
        *(
            (
                {"mode": ["reverse:http://x@90", mode]},
                f"mode={mode}: the router sets its own mode; leave it out",
            )
            for mode in (
                "regular",
                "regular@81",
                "socks5",
                "reverse:tcp://x:1",
                "upstream:http://x",
            )
        ),
        (
            {"mode": ["regular"]},
            "mode=regular: the router sets its own mode; leave it out",
        ),
    ],
    ids=str,
)
def test_never_host_options(host: Any, changes: dict[str, object], sentence: str) -> None:
    """Options of mitmproxy that would open the gate or show secrets are refused."""
    _register(host)
    host.options.update(**changes)
    with pytest.raises(BadOption) as caught:
        check_host_options()
    assert sentence == str(caught.value)


def test_no_mode_in_a_replay(host: Any) -> None:
    """Without a listener mitmproxy's default mode is as good as any."""
    _register(host)
    host.options.update(server=False)
    check_host_options()
    assert host.options.mode == ["regular"]


@pytest.mark.parametrize(
    ("carrier", "server", "refused"),
    [("stock", True, True), ("stock", False, False), ("relay", True, False)],
)
@pytest.mark.parametrize(("name", "flag"), [("save_stream_file", "-w"), ("hardump", "it")])
def test_recording(
    host: Any, tmp_path: Path, name: str, flag: str, carrier: str, server: bool, refused: bool
) -> None:
    """The stock carrier's flows are not recorded while they are live: they hold tokens."""
    _register(host)
    path = f"{tmp_path}/flows"
    host.options.update(server=server, route_carrier=carrier, **{name: path})
    try:
        check_host_options()
    except BadOption as error:
        assert refused
        assert str(error) == (
            f"{name}={path}: flows of the stock carrier hold tokens; leave {flag} out, or take "
            "the relay"
        )
    else:
        assert not refused
    host.options.update(save_stream_file=None, hardump="")


def test_refused_start(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, no stack trace, exit status 1."""
    with pytest.raises(SystemExit) as caught:
        refuse_start("route_website=: must be a URL")
    assert caught.value.code == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "route_addon: route_website=: must be a URL\n")


CA = trustme.CA()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key."""
    path = tmp_path_factory.mktemp("certificates") / "certificate.pem"
    CA.issue_cert("desk.example").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def _settings(**changes: object) -> Settings:
    return build_settings({**default_values({}), **changes}, need_keys=False)  # type: ignore[dict-item]


def test_no_certificates(host: Any) -> None:
    """Nobody needs certificates."""
    assert not load_certificates(_settings(), None)


@pytest.mark.parametrize("kept", [True, False])
def test_certificates(host: Any, certificate: Path, kept: bool) -> None:
    """Those that our option names are loaded, and kept as long as it names the same."""
    settings = _settings(route_certs=str(certificate))
    old = load_certificates(settings, None)
    assert "desk.example until " in old.describe()
    if not kept:
        settings = _settings(route_certs=f"{certificate}:{certificate},{certificate}")
    assert kept == (load_certificates(settings, old) is old)


def test_certificate_for_nginx(
    host: Any, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any other it is taken once it is whole, and stays in force if it is gone again."""
    monkeypatch.setattr("route_addon.config.nginx_files.FOLDER", tmp_path)
    chain, key = tmp_path / "ssl" / "tls.crt", tmp_path / "ssl" / "tls.key"
    chain.parent.mkdir()
    none = load_certificates(_settings(), None)
    chain.write_bytes(certificate.read_bytes())
    assert not load_certificates(_settings(), none)
    key.write_bytes(certificate.read_bytes())
    loaded = load_certificates(_settings(), none)
    assert loaded.source == ((CertificateFiles(str(chain), str(key)),), "")
    chain.unlink()
    assert load_certificates(_settings(), loaded) is loaded


@pytest.mark.parametrize("name", ["", "*=", "desk.example="])
def test_mitmproxys_certificates(host: Any, certificate: Path, name: str) -> None:
    """Without ours, those of mitmproxy's own option are taken; ours win over them."""
    host.options.update(certs=[f"{name}{certificate}"])
    loaded = load_certificates(_settings(), None)
    files = CertificateFiles(str(certificate), str(certificate), (name.rstrip("=") or "*",))
    assert loaded.source == ((files,), "")
    ours = load_certificates(_settings(route_certs=str(certificate)), loaded)
    assert ours.source == ((CertificateFiles(str(certificate), str(certificate)),), "")


def test_certificates_below_home(
    host: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tilde stands for the home folder in mitmproxy's own option."""
    monkeypatch.setenv("HOME", str(certificate.parent))
    host.options.update(certs=["*=~/certificate.pem"])
    assert load_certificates(_settings(), None)


def test_certificates_in_a_replay(host: Any) -> None:
    """Without a listener nobody asks for them."""
    host.options.update(server=False, certs=["/no/such.pem"])
    assert not load_certificates(_settings(route_certs="/no/such.pem"), None)


@pytest.mark.parametrize("name", ["route_certs", "certs"])
def test_bad_certificates(host: Any, name: str) -> None:
    """One that cannot be used is refused, with the option that names it."""
    path = "/no/such.pem"
    settings = _settings(route_certs=path if name == "route_certs" else "")
    host.options.update(certs=[path] if name == "certs" else [])
    with pytest.raises(BadOption) as caught:
        load_certificates(settings, Certificates(()))
    assert str(caught.value).startswith(f"{name}={path}: {path} cannot be read")


def test_upstream_context(tmp_path: Path) -> None:
    """TLS towards upstreams is made ready where one of them speaks it."""
    ca = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(ca))
    assert load_upstream_context(_settings()) is None
    usual = load_upstream_context(_settings(route_website="https://website"))
    with_ca = load_upstream_context(_settings(route_upstream_ca=str(ca)))
    assert usual is not None
    assert with_ca is not None
    assert usual.check_hostname
    assert len(with_ca.get_ca_certs()) == len(usual.get_ca_certs()) + 1


@pytest.mark.parametrize("text", [None, "", "nonsense"])
def test_bad_upstream_ca(tmp_path: Path, text: str | None) -> None:
    """CAs that cannot be read are refused."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadOption) as caught:
        load_upstream_context(_settings(route_upstream_ca=str(path)))
    assert str(caught.value) == (
        f"route_upstream_ca={path}: must be a PEM file of CA certificates that can be read"
    )


def test_names() -> None:
    """The options that a change is ours by."""
    assert {option.name for option in OPTIONS} == NAMES


def test_the_collector_is_spared() -> None:
    """What is there is not looked at again; what comes later is collected as ever."""
    before = gc.get_freeze_count()
    try:
        spare_collector()
        assert gc.get_freeze_count() > before
        assert len(gc.get_objects(generation=2)) < 1000
        cycle: list[Any] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
