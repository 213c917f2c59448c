"""The commands, as mitmproxy's own manager calls and completes them."""

import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, types
from mitmproxy.addons.view import View
from mitmproxy.test import tflow

from route_addon.compose import build_addon
from route_addon.core.targetmap import Verified
from route_addon.debug.dry_run import METHODS
from route_addon.debug.history import clean
from tests.hosting import make_flow, make_host
from tests.minting import mint

TOKEN = mint("10.0.0.1")


@pytest.fixture
async def host() -> AsyncIterator[Any]:
    """mitmproxy with the router, which does not listen."""
    host = make_host()
    host.options.update(server=False, command_history=False)
    addon = build_addon()
    host.master.addons.add(View(), addon)
    yield host
    host.master.addons.remove(addon)


def call(host: Any, line: str) -> Any:
    """Type a command."""
    return host.master.commands.execute(line)


def complete(host: Any, line: str) -> Sequence[str]:
    """What is offered for the last word of a command."""
    parsed, remaining = host.master.commands.parse_partial(line)
    word = remaining[0].type if parsed[-1].type is types.Space else parsed[-1].type
    kind: Any = types.CommandTypes.get(word)
    offered: Sequence[str] = kind.completion(host.master.commands, word, "")
    return offered


async def test_help(host: Any) -> None:
    """Each command says what it does, and that of each argument there is a type."""
    commands = host.master.commands.commands
    ours = {name: command for name, command in commands.items() if name.startswith("route.")}
    assert {
        *("route.explain", "route.decide", "route.decide.methods", "route.table"),
        *("route.upstreams", "route.cache", "route.cache.purge", "route.forget", "route.targets"),
        *("route.drain", "route.token.inspect", "route.record", "route.replay"),
    } <= set(ours)
    assert all(command.help and command.signature_help() for command in ours.values())


@pytest.mark.parametrize(
    ("line", "missing"),
    [("route.decide GET", "method: str"), ("route.forget", "target: str")],
)
async def test_missing_argument(host: Any, line: str, missing: str) -> None:
    """What is wanted is named as everywhere in mitmproxy."""
    with pytest.raises(exceptions.CommandError, match=f'<Parameter "{missing}">'):
        call(host, line)


async def test_completion(host: Any) -> None:
    """Flows, methods and cached targets are offered."""
    assert "@focus" in complete(host, "route.explain ")
    assert complete(host, "route.decide ") == METHODS
    assert complete(host, "route.forget ") == []
    router = host.master.addons.get("route").router
    router.targets.put(TOKEN, Verified("10.0.0.1", 2e9), 1e9)
    assert complete(host, "route.forget ") == ["10.0.0.1"]
    assert "route.token.inspect" in complete(host, "route.t")
    assert "./tests/" in complete(host, "route.replay ")


async def test_explain(host: Any) -> None:
    """A flow that is chosen as mitmproxy's own commands choose it is explained in lines."""
    host.master.addons.get("view").add([make_flow(b"/x", live=False)])
    lines = call(host, "route.explain @focus")
    assert lines[0].startswith("/ -> website website:80")
    assert all("\n" not in line for line in lines)


async def test_explain_another_kind_of_flow(host: Any) -> None:
    """What is no HTTP has not been decided."""
    flow: Any = tflow
    with pytest.raises(exceptions.CommandError, match="only HTTP"):
        host.master.commands.call("route.explain", flow.ttcpflow())


async def test_decide(host: Any) -> None:
    """Quotes keep a field together; one without a colon is an error."""
    lines = call(host, 'route.decide GET http://desk/API/x "X-Forwarded-For: 198.51.100.9"')
    assert lines[0].startswith("/API -> pyos pyos:8000")
    assert any("198.51.100.9, which calls us http://desk" in line for line in lines)
    with pytest.raises(exceptions.CommandError, match="'Name: value'"):
        call(host, "route.decide GET /x X-A")
    assert call(host, "route.decide get /x")[0].startswith("400 bad_method")


async def test_table(host: Any) -> None:
    """A line for each location, in columns."""
    names, *rows = call(host, "route.table")
    assert names.startswith("location ")
    assert len(rows) == len(host.master.addons.get("route").router.rules.locations.all)
    filer = next(row for row in rows if row.startswith("/filer "))
    columns = re.split("  +", filer)
    assert columns[:4] == ["/filer", "prefix", "pod:29783", "header, cookie"]
    assert columns[4:] == ["as sent", "target:port", "P", "collect", "8 GiB", "60 s"]
    assert {row[names.index("kind")] for row in rows} == {"e", "p"}


async def test_forget(host: Any) -> None:
    """The tokens of one target leave the cache."""
    targets = host.master.addons.get("route").router.targets
    for token, target in ((b"a", "10.0.0.1"), (b"b", "10.0.0.1"), (b"c", "10.0.0.2")):
        targets.put(token, Verified(target, 2e9), 1e9)
    assert call(host, "route.forget 10.0.0.1") == "2 tokens forgotten"
    assert call(host, "route.targets") == ["10.0.0.2"]
    for pasted, shown in ((b"10.0.0.1", b"10.0.0.1"), (b"no", b"no"), (TOKEN, b"[token]")):
        sentence = rf"^no token of {re.escape(shown.decode())} is in the cache; route\.targets says"
        with pytest.raises(exceptions.CommandError, match=sentence):
            call(host, f"route.forget {pasted.decode()}")


async def test_caches_without_a_relay(host: Any) -> None:
    """The cache of tokens is there without one."""
    tokens, answers = call(host, "route.cache")
    assert tokens == "tokens: 0 of 65536; 0 hits, 0 misses, 0 evicted"
    assert answers == "answers: the relay is not in service"
    with pytest.raises(exceptions.CommandError, match="not in service"):
        call(host, "route.upstreams")


async def test_without_a_router(host: Any) -> None:
    """Before the start, commands say that nothing is in force."""
    host.master.addons.get("route").router = None
    for line in ("route.table", "route.decide GET /", "route.token.inspect x"):
        with pytest.raises(exceptions.CommandError, match="no router"):
            call(host, line)


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer  "])
async def test_inspect_token(host: Any, prefix: str) -> None:
    """The verdict comes first, then the checks; nothing of the token is told."""
    lines = call(host, f"route.token.inspect '{prefix}{TOKEN.decode()}'")
    assert lines[0].startswith("refused: 401 token_signature")
    assert [line[:2] for line in lines[3:]] == ["✓ ", "✓ ", "✗ ", "  "]
    assert all(part.decode() not in "\n".join(lines) for part in TOKEN.split(b"."))


@pytest.mark.parametrize("pasted", ["\ud800", "\udcff", "\0"])
async def test_inspect_what_is_no_text(host: Any, pasted: str) -> None:
    """Whatever is pasted, there is a verdict."""
    lines = host.master.commands.call("route.token.inspect", pasted)
    assert lines[0].startswith("refused: 401 token_malformed: not a compact JWS: byte 1 ")


async def test_inspect_a_placeholder(host: Any) -> None:
    """What a flow shows in the place of a token is told to be no token."""
    (line,) = call(host, "route.token.inspect hidden.0123456789abcdef.token")
    assert line.startswith("a placeholder")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("route.token.inspect abc", "route.token.inspect"),
        ("  route.token.inspect", "route.token.inspect"),
        ("route.decide GET /x 'Cookie: a=b' X:1", "route.decide GET /x"),
        ("route.decide GET /x", "route.decide GET /x"),
        (f"route.decide GET /terminals/?{TOKEN.decode()}", "route.decide GET /terminals/?[token]"),
        (f"flow.set @focus path /?{TOKEN.decode()}", "flow.set @focus path /?[token]"),
        ("view.focus.next", "view.focus.next"),
        (" ", " "),
        ("\udcff", "\udcff"),
    ],
)
def test_what_the_history_keeps(typed: str, kept: str) -> None:
    """A command without its token, and a dry run without its fields."""
    assert clean(typed) == kept


async def test_history(host: Any) -> None:
    """mitmproxy's own history gets no more than that."""
    host.master.commands.call("commands.history.add", f"route.token.inspect {TOKEN.decode()}")
    assert call(host, "commands.history.get") == ["route.token.inspect"]


@pytest.mark.parametrize("command", ["route.token.inspect {}", "route.decide GET /filer X:{}"])
async def test_memory(host: Any, command: str) -> None:
    """mitmproxy's parser remembers what was typed; not so these commands, once they have run."""
    parse = host.master.commands.parse_partial
    line = command.format(TOKEN.decode())
    parse(line[:-1])
    host.master.commands.call("commands.history.add", line)
    call(host, line)
    assert parse.cache_info().currsize == 0


async def test_record(host: Any, tmp_path: Path) -> None:
    """The option says where recordings go; one that cannot be written to is refused."""
    assert call(host, f"route.record {tmp_path}/a.mitm") == f"recording in {tmp_path}/a.mitm"
    assert host.options.route_record == f"{tmp_path}/a.mitm"
    assert call(host, "route.record") == "recording no more"
    assert host.options.route_record == ""


async def test_replay_of_what_is_no_recording(host: Any, tmp_path: Path) -> None:
    """It is refused with a sentence, and so is one that traffic would have to wait for."""
    with pytest.raises(exceptions.CommandError, match="No such file"):
        call(host, f"route.replay {tmp_path}/none")
    (tmp_path / "bad").write_bytes(b"no flows")
    with pytest.raises(exceptions.CommandError, match="bad"):
        call(host, f"route.replay {tmp_path}/bad")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(exceptions.CommandError, match="pipe: is no file"):
        call(host, f"route.replay {tmp_path}/pipe")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(2**25)
    with pytest.raises(exceptions.CommandError, match="traffic would wait"):
        call(host, f"route.replay {tmp_path}/large")
