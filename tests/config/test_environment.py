"""What the environment says of options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.config.environment import default_values
from route_addon.options import OPTIONS, BadOption, Option, Value

DEFAULTS = {option.name: option.default for option in OPTIONS}
NAMES = [name for option in OPTIONS for name in option.environment_names]


def test_defaults() -> None:
    """An empty environment changes nothing."""
    assert default_values({}) == DEFAULTS


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_name_in_capitals(option: Option) -> None:
    """Every option can be set by its name in capitals, and nothing else changes then."""
    texts: dict[type, tuple[str, Value]] = {
        str: ("some text", "some text"),
        int: ("7", 7),
        bool: ("true", True),
    }
    text, value = texts[type(option.default)]
    name = option.name.upper()
    assert {**DEFAULTS, option.name: value} == default_values({name: text})
    assert default_values({name: ""}) == DEFAULTS
    assert default_values({name.lower(): text}) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("WEBSITE_FQDN", "route_website"),
        ("CONSOLE_FQDN", "route_console"),
        ("SPEEDTEST_FQDN", "route_speedtest"),
        ("NODE_NAME", "route_node_name"),
        ("JWT_DESKTOP_SIGNING_PUBLIC_KEY", "route_signing_key"),
        ("JWT_DESKTOP_PAYLOAD_PRIVATE_KEY", "route_payload_key"),
    ],
)
def test_deployed_names(name: str, option: str) -> None:
    """The deployed names still mean what they did; the option's own name wins over them."""
    assert {**DEFAULTS, option: "there"} == default_values({name: "there"})
    assert default_values({name: ""}) == DEFAULTS
    assert {**DEFAULTS, option: "here"} == default_values({name: "there", option.upper(): "here"})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, "http://pyos:8000", id="nothing"),
        pytest.param({"PYOS_FQDN": "api.ns.svc"}, "api.ns.svc:8000", id="name"),
        pytest.param({"PYOS_SERVICE_HOST": "10.3.2.1"}, "10.3.2.1:8000", id="service host"),
        pytest.param({"PYOS_SERVICE_PORT": "81"}, "pyos:81", id="port"),
        pytest.param({"PYOS_FQDN": "api", "PYOS_SERVICE_PORT": "81"}, "api:81", id="name and port"),
        pytest.param(
            {"PYOS_SERVICE_HOST": "10.3.2.1", "PYOS_SERVICE_PORT": "81"},
            "10.3.2.1:81",
            id="service host and port",
        ),
        pytest.param(
            {"PYOS_FQDN": "api", "PYOS_SERVICE_HOST": "10.3.2.1", "PYOS_SERVICE_PORT": "81"},
            "api:81",
            id="the name wins over the service host",
        ),
        pytest.param(
            {"PYOS_FQDN": "", "PYOS_SERVICE_HOST": "10.3.2.1", "PYOS_SERVICE_PORT": ""},
            "10.3.2.1:8000",
            id="empty is unset",
        ),
        pytest.param(
            {"PYOS_FQDN": "api:9", "PYOS_SERVICE_PORT": "81"}, "api:9", id="a port of its own wins"
        ),
        pytest.param(
            {"PYOS_FQDN": "https://api", "PYOS_SERVICE_PORT": "81"},
            "https://api",
            id="a URL says all",
        ),
        pytest.param({"PYOS_SERVICE_HOST": "fd00::1"}, "[fd00::1]:8000", id="IPv6"),
        pytest.param(
            {"PYOS_SERVICE_HOST": "fd00::1", "PYOS_SERVICE_PORT": "81"},
            "[fd00::1]:81",
            id="IPv6 and port",
        ),
        pytest.param(
            {"PYOS_SERVICE_HOST": "[fd00::1]", "PYOS_SERVICE_PORT": "81"},
            "[fd00::1]:81",
            id="IPv6 in brackets and port",
        ),
        pytest.param(
            {"PYOS_SERVICE_HOST": "[fd00::1]:9", "PYOS_SERVICE_PORT": "81"},
            "[fd00::1]:9",
            id="IPv6 with a port of its own",
        ),
        pytest.param(
            {"ROUTE_PYOS": "own", "PYOS_FQDN": "api", "PYOS_SERVICE_PORT": "81"},
            "own",
            id="the option's own name wins over all",
        ),
    ],
)
def test_pyos(environment: dict[str, str], expected: str) -> None:
    """pyos is a name or a service address, with a port beside it."""
    assert {**DEFAULTS, "route_pyos": expected} == default_values(environment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("True", True), ("1", True), ("false", False), ("FALSE", False), ("0", False)],
)
def test_booleans(text: str, expected: bool) -> None:
    """Yes and no in the usual spellings."""
    values = default_values({"ROUTE_ALLOW_KNOWN_KEYS": text})
    assert values["route_allow_known_keys"] is expected


@pytest.mark.parametrize("text", ["yes", "on", "2", "truth", " true", "-"])
def test_never_booleans(text: str) -> None:
    """Anything else is refused, with its name."""
    with pytest.raises(BadOption) as caught:
        default_values({"ROUTE_ALLOW_KNOWN_KEYS": text})
    assert str(caught.value) == f"ROUTE_ALLOW_KNOWN_KEYS={text}: must be true or false"


@pytest.mark.parametrize("text", ["x", "-1", "+1", "1.5", "1e3", " 1", "1 s", "٣", "9" * 19])
def test_never_numbers(text: str) -> None:
    """A number is plain digits; anything else is refused, with its name and unit."""
    with pytest.raises(BadOption) as caught:
        default_values({"ROUTE_CACHE_TTL": text})
    assert str(caught.value) == f"ROUTE_CACHE_TTL={text}: must be a whole number of seconds"


@given(st.dictionaries(st.sampled_from([*NAMES, "PYOS_SERVICE_PORT", "PATH"]), st.text()))
def test_any_environment(environment: dict[str, str]) -> None:
    """Any environment gives each option a value of its type, or is refused."""
    try:
        values = default_values(environment)
    except BadOption as error:
        assert str(error).startswith("ROUTE_")
    else:
        assert DEFAULTS.keys() == values.keys()
        for name, value in values.items():
            assert type(value) is type(DEFAULTS[name])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "route_ports=x: must be well"),
        ("", "route_ports: must be well"),
        (0, "route_ports=0: must be well"),
        (False, "route_ports=False: must be well"),
    ],
)
def test_sentence(value: object, expected: str) -> None:
    """The sentence names the option and its value, where there is one."""
    error = BadOption("route_ports", value, "must be well")
    assert expected == str(error)
    assert error.name == "route_ports"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ROUTE_WORKRES", "ROUTE_WORKERS"),
        ("ROUTE_CONSOLE_ALOW", "ROUTE_CONSOLE_ALLOW"),
        ("ROUTE_ZZZZZZZ", "ROUTE_CONFIG"),
    ],
)
def test_a_name_that_no_option_has(name: str, near: str) -> None:
    """It is refused, with the nearest one: what was meant would be lost in silence."""
    with pytest.raises(BadOption) as refused:
        default_values({name: "10.0.0.0/8"})
    assert str(refused.value).startswith(f"{name}: is no option; did you mean ")
    assert near == "ROUTE_CONFIG" or near in str(refused.value)
    assert default_values({name: ""}) == DEFAULTS


@pytest.mark.parametrize(
    "name",
    [
        "ROUTE_SERVICE_HOST",
        "ROUTE_SERVICE_PORT",
        "ROUTE_SERVICE_PORT_HTTP",
        "ROUTE_PORT",
        "ROUTE_PORT_80_TCP",
        "ROUTE_PORT_80_TCP_ADDR",
        "ROUTE_OD_SERVICE_HOST",
        "ROUTE_OD_PORT_80_TCP_PROTO",
        "ROUTED",
        "HTTP_ROUTER_PORT",
    ],
)
def test_a_service_of_that_name(name: str) -> None:
    """What Kubernetes says of a Service that is called route, or route-od, is none of ours."""
    assert default_values({name: "tcp://10.0.0.1:80"}) == DEFAULTS
