"""The console command finds its subcommands, and loads none that nobody called."""

import os
import subprocess
import sys
from importlib.metadata import version
from types import ModuleType

import pytest

from route_addon import cli


def test_lists_its_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    """Alone, and when it is asked, it lists every subcommand."""
    for argv in ([], ["--help"], ["-h"]):
        assert cli.main(argv) == 0
        listed = capsys.readouterr().out
        assert all(f"  {name} " in listed for name in cli.SUBCOMMANDS)


@pytest.mark.parametrize("name", ["--version", "-V"])
def test_tells_its_version(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The one that is installed."""
    assert cli.main([name]) == 0
    assert capsys.readouterr().out == f"route-addon {version('route_addon')}\n"


@pytest.mark.parametrize(
    ("given", "near"), [("sreve", "serve"), ("chekc", "check"), ("x", "serve")]
)
def test_refuses_an_unknown_subcommand(
    given: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A subcommand that is not there ends with status 2 and the nearest name."""
    assert cli.main([given]) == 2
    assert f"did you mean {near}?" in capsys.readouterr().err


def test_hands_over_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subcommand's module gets the arguments after its name, and gives the exit status."""
    module = ModuleType("chosen")
    module.main = lambda argv: len(argv)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chosen", module)
    monkeypatch.setitem(cli.SUBCOMMANDS, "serve", cli.Subcommand("chosen", ""))
    assert cli.main(["serve", "--one", "two"]) == 2


def test_runs_as_a_module_and_loads_no_more_than_it_needs() -> None:
    """``python -m route_addon`` is the command; to list the subcommands it imports none."""
    code = (
        "import sys; from route_addon.cli import main; main([]); print('mitmproxy' in sys.modules)"
    )
    listed = subprocess.run(
        [sys.executable, "-m", "route_addon", "--help"], capture_output=True, text=True, check=True
    )
    lean = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert lean.stdout == f"{listed.stdout}False\n"


def test_streams_that_are_closed() -> None:
    """No connection gets their numbers: what is printed would go there."""
    code = (
        "import os; from route_addon.cli import main; main(['--version']);"
        "is_null = [os.readlink(f'/proc/self/fd/{one}') == os.devnull for one in range(3)];"
        "os.write(int(os.environ['ANSWER']), repr(is_null).encode())"
    )
    ours, its = os.pipe()
    with open(ours) as answer:
        subprocess.run(
            ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", sys.executable, "-c", code],
            env={**os.environ, "ANSWER": str(its)},
            pass_fds=[its],
            check=True,
        )
        os.close(its)
        assert answer.read() == "[True, True, True]"
