"""The lean master: the same addon, and nothing that would have no effect."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from route_addon.config.workers import Worker
from route_addon.serve.arguments import parse_arguments
from route_addon.serve.lean import load_master, log_to_stderr


async def test_loaded(argv: list[str]) -> None:
    """Settings are there, the guard has the last word, and nothing listens or will."""
    arguments = parse_arguments("serve", [*argv, "--set", "route_max_connections=9"])
    lean, route = load_master(arguments, Worker(1, 2))
    assert route.settings is not None
    assert route.settings.limits.max_connections == 5
    assert lean.addons.chain[-1] is route.guard
    assert lean.options.mode == []
    lean.close()
    assert len(lean.addons) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"route_websit": "x"}, "route_websit: is no option; did you mean route_website?"),
        ({"cert": "x"}, "cert: is no option of this program; did you mean certs?"),
        ({"mode": "regular"}, "mode=regular: the router sets its own mode; leave it out"),
        ({"mode": "reverse:http://x"}, "mode=reverse:http://x: the router sets its own mode; "),
        ({"route_carrier": "stock"}, "route_carrier=stock: takes mitmdump -s; leave it out"),
        ({"route_workers": "x"}, "route_workers=x: "),
        ({"listen_port": "x"}, "--set or --config: "),
    ],
    ids=lambda value: "" if isinstance(value, str) else "=".join(*value.items()),
)
async def test_never_loaded(
    argv: list[str],
    options: Mapping[str, str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence that names the option and the remedy, and status 1."""
    words = [word for pair in options.items() for word in ("--set", "=".join(pair))]
    with pytest.raises(SystemExit) as ended:
        load_master(parse_arguments("serve", [*argv, *words]))
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"route_addon: {sentence}")


async def test_a_file_of_options(argv: list[str], options_file: Path) -> None:
    """It sets options, and --set wins over it."""
    options_file.write_text("route_node_name: file\nroute_hsts: 7\n", "utf-8")
    words = ["--config", str(options_file), "--set", "route_node_name=set"]
    lean, route = load_master(parse_arguments("serve", [*argv, *words]))
    assert route.settings is not None
    assert (route.settings.rules.node_name, route.settings.rules.hsts_s) == ("set", 7)
    lean.close()


@pytest.mark.parametrize(
    "text", ["route_nod_name: x", "- x", "route_hsts: x", ": :", "x", "\udcff"], ids=ascii
)
async def test_never_a_file_of_options(
    argv: list[str], options_file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that cannot be understood is refused."""
    options_file.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(SystemExit) as ended:
        load_master(parse_arguments("serve", [*argv, "--config", str(options_file)]))
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("route_addon: ")


async def test_no_file_of_options(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One that is not there is refused, too."""
    with pytest.raises(SystemExit):
        load_master(parse_arguments("serve", [*argv, "--config", "/no/such.yaml"]))
    assert "--config=/no/such.yaml: cannot be read" in capsys.readouterr().err


def test_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line for each record; a reader who is gone is no fault."""
    root = logging.getLogger()
    old = root.level, list(root.handlers), logging.raiseExceptions
    try:
        with (tmp_path / "log").open("w") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            log_to_stderr()
            logging.getLogger("x").warning("said %d", 1)
            logging.getLogger("mitmproxy.proxy.server").info("client connect")
        logging.getLogger("x").warning("to nobody")
        line = (tmp_path / "log").read_text()
        assert line.endswith("] said 1\n")
        assert "Z WARNING [" in line
        assert line.count("\n") == 1
    finally:
        level, handlers, logging.raiseExceptions = old
        root.setLevel(level)
        root.handlers[:] = handlers
