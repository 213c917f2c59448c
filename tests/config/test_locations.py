"""Upstreams, ports and locations: what wins over what, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from route_addon.config.settings import Settings
from route_addon.core.messages import Server
from route_addon.core.table import PORTS
from route_addon.options import Value
from tests.config.building import SERVER, build, port, refusal, servers

PRECEDENCE = {
    "default": (False, None, {}),
    "environment over default": (False, None, {"environment"}),
    "file over default": (False, "file", {}),
    "file over environment": (False, "file", {"environment"}),
    "option over default": (True, None, {}),
    "option over environment": (True, None, {"environment"}),
    "option over file": (True, "file", {}),
    "option over file and environment": (True, "file", {"environment"}),
}


@pytest.mark.parametrize("case", PRECEDENCE)
@pytest.mark.parametrize(
    ("option", "text", "default", "read"),
    [
        ("route_pyos", "{}:8000", "pyos", lambda server: server[0].host),
        ("route_website", "{}:80", "website", lambda server: server[0].host),
    ],
)
def test_precedence_of_upstreams(
    tmp_path: Path,
    case: str,
    option: str,
    text: str,
    default: str,
    read: Callable[[Any], str],
) -> None:
    """The option wins over the configuration file, which wins over the environment."""
    is_set, file, environment = PRECEDENCE[case]
    name = option.removeprefix("route_")
    changes: dict[str, Value] = {}
    if file:
        config = tmp_path / "route.toml"
        config.write_text(f'[upstream.{name}]\nservers = ["{text.format("file")}"]\n')
        changes["route_config"] = str(config)
    if is_set:
        changes[option] = text.format("option")
    settings = build(
        changes,
        environment={option.upper(): text.format("environment")} if environment else {},
        is_set=lambda asked: is_set and asked == option,
    )
    expected = case.partition(" ")[0]
    assert (default if expected == "default" else expected) == read(servers(name)(settings))


@pytest.mark.parametrize("case", PRECEDENCE)
def test_precedence_of_ports(tmp_path: Path, case: str) -> None:
    """So for each port of the table."""
    is_set, file, environment = PRECEDENCE[case]
    ports = {"default": PORTS["xterm"], "environment": 1001, "file": 1002, "option": 1003}
    changes: dict[str, Value] = {}
    if file:
        config = tmp_path / "route.toml"
        config.write_text(f"[ports]\nxterm = {ports['file']}\n")
        changes["route_config"] = str(config)
    if is_set:
        changes["route_ports"] = f"xterm={ports['option']}"
    settings = build(
        changes,
        environment={"ROUTE_PORTS": f"xterm={ports['environment']}"} if environment else {},
        is_set=lambda asked: is_set and asked == "route_ports",
    )
    assert ports[case.partition(" ")[0]] == port("/terminals")(settings)


def test_ports_add_up(tmp_path: Path) -> None:
    """Who sets one port leaves the others to those who set them; a file may add names."""
    config = tmp_path / "route.toml"
    config.write_text("[ports]\nxterm = 1002\nfile_service = 1002\nnotes = 1002\n")
    changes = {"route_config": str(config), "route_ports": "xterm=1003,notes=1003"}
    settings = build(changes, is_set=lambda name: name == "route_ports")
    assert port("/terminals")(settings) == 1003
    assert port("/filer")(settings) == 1002
    assert port("/snapshot")(settings) == PORTS["snapshot_service"]


def _with_file(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "route.toml"
    config.write_text(text)
    return build({"route_config": str(config)})


OWN_LOCATION = """
[upstream.wiki]
servers = ["http://wiki:8080", "https://wiki-2"]
[[location]]
location = "/wiki"
kind = "prefix"
upstream = "wiki"
"""


def test_own_location(tmp_path: Path) -> None:
    """A configuration file adds locations and upstreams."""
    settings = _with_file(tmp_path, OWN_LOCATION)
    match = settings.rules.locations.match(b"/wiki/x")
    assert match is not None
    assert match[0].upstream == "wiki"
    assert settings.rules.upstreams["wiki"] == (
        Server(b"http", "wiki", 8080),
        Server(b"https", "wiki-2", 443),
    )
    assert "wiki=http://wiki:8080 wiki=https://wiki-2 " in settings.describe()


def test_pools(tmp_path: Path) -> None:
    """An upstream is a pool, by option or by file; who takes one server takes the first."""
    config = tmp_path / "route.toml"
    config.write_text(
        '[upstream.website]\nservers = ["w;backup", {url = "v", weight = 2}]\ntries = 1\n'
        '[upstream.pyos]\nservers = ["nobody"]'
    )
    settings = build(
        {"route_config": str(config), "route_pyos": "http://a:8000;down,http://b:8000;weight=2"},
        is_set=lambda name: name == "route_pyos",
    )
    assert list(settings.pools) == list(settings.rules.upstreams)
    website, pyos = settings.pools["website"], settings.pools["pyos"]
    assert (website.name, website.tries, website.is_plain) == ("website", 1, False)
    assert settings.rules.upstreams["website"] == website.in_order
    assert [server.host for server in website.in_order] == ["v", "w"]
    assert [(spec.server.host, spec.weight) for spec in pyos.servers] == [("a", 1), ("b", 2)]
    assert [server.host for server in pyos.in_order] == ["b", "a"]
    assert settings.pools["console"].is_plain


BAD_FILES = {
    "unknown upstream": (
        '[[location]]\nlocation = "/x"\nkind = "exact"\nupstream = "nosuch"',
        "location '/x': no upstream 'nosuch' is there; add [upstream.nosuch]",
    ),
    "upstream's name is taken": ('[upstream.pod]\nservers = ["x"]', "upstream.pod: the name is "),
    "upstream's name is taken, too": ('[upstream.here]\nservers = ["x"]', "upstream.here: the "),
    "bad server": (
        '[upstream.x]\nservers = ["y", "ftp://x"]',
        f"key 'upstream.x.servers[1]' 'ftp://x' {SERVER}",
    ),
    "location stands there twice": (
        '[[location]]\nlocation = "/filer"\nkind = "prefix"\nupstream = "pyos"',
        "'/filer' (prefix) stands there twice",
    ),
    "location is not canonical": (
        '[[location]]\nlocation = "/a//b"\nkind = "exact"\nupstream = "pyos"',
        "location '/a//b' is not a canonical path",
    ),
    "unknown port": (
        '[[location]]\nlocation = "/x"\nkind = "exact"\nupstream = "pod:nosuch"\ntoken = ["path"]',
        "location '/x': upstream 'pod:nosuch' names no port of the port table",
    ),
    "not TOML": ("x", "is not TOML: "),
    "unknown key": ("x = 1", "key 'x' is unknown"),
}


@pytest.mark.parametrize(("text", "fault"), BAD_FILES.values(), ids=list(BAD_FILES.keys()))
def test_bad_files(tmp_path: Path, text: str, fault: str) -> None:
    """Each refusal names the file and what is wrong in it."""
    config = tmp_path / "route.toml"
    config.write_text(text)
    sentence = refusal({"route_config": str(config)})
    assert sentence.startswith(f"route_config={config}: {fault}")
