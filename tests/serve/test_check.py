"""``route-addon check``: what a configuration means."""

import socket

import pytest

from route_addon.core.keys import fingerprint
from route_addon.serve import check, command
from tests.minting import key_pair


def test_shown(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options with their origin, the table, upstreams, fingerprints, what deserves a look."""
    monkeypatch.setenv("NODE_NAME", "node-7")
    words = ["--workers", "3", "--set", "route_pyos=http://a,http://b:81"]
    assert check.main([*argv, *words]) == 0
    shown = capsys.readouterr().out
    for line in (
        "route_node_name=node-7 (NODE_NAME)",
        "route_workers=3 (set)",
        "route_drain=25 (default)",
        "upstream pyos: http://a",
        "upstream pyos: http://b:81",
        "workers: 3",
        f"signing key sha256: {fingerprint(key_pair('small', 1024).public)}",
        f"payload key sha256: {fingerprint(key_pair('small', 1024).private)}",
        "certificates: none",
    ):
        assert f"{line}\n" in shown, line
    assert "| `/filer` |" in shown
    assert "warning: route_signing_key: a key of 1024 bits is weak" in shown


def test_by_serve(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``serve --check`` is the same, and serves nothing."""
    assert command.main([*argv, "--check"]) == 0
    assert "route_drain=25 (default)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("route_hsts=-1", "route_hsts=-1: must be a whole number"),
        ("route_listen=443 ssl", "route_listen=443 ssl: needs a certificate: route_certs"),
    ],
)
def test_refused(
    setting: str, sentence: str, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What ends a start ends the check, too: with its sentence and status 1."""
    with pytest.raises(SystemExit) as ended:
        check.main([*argv, "--set", setting])
    assert ended.value.code == 1
    assert sentence in capsys.readouterr().err


def test_connected(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each server is resolved and connected to; one that fails is a failure of the check."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as gone,
    ):
        good, bad = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (server, gone))
        gone.close()
        names = ("website", "pyos", "console", "speedtest")
        words = [word for name in names for word in ("--set", f"route_{name}={good}")]
        assert check.main([*argv, *words, "--connect"]) == 0
        assert f"upstream pyos: {good}: connected to 127.0.0.1\n" in capsys.readouterr().out
        others = ["--set", f"route_pyos={bad}", "--set", "route_console=https://nobody.invalid"]
        rest = ["--set", f"route_website={good}", "--set", f"route_speedtest={good}"]
        assert check.main([*argv, *rest, *others, "--connect"]) == 1
    shown = capsys.readouterr().out
    assert f"upstream pyos: {bad}: failed: " in shown
    assert "upstream console: https://nobody.invalid: failed: 502 upstream_unresolved\n" in shown
