"""The command line of ``serve`` and ``check``."""

import pytest

from route_addon.serve.arguments import Arguments, parse_arguments

NO = (False, False)
"""No check, and so no connecting."""


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], Arguments((), "", *NO)),
        (["--set", "a=b", "--set", "c=d"], Arguments(("a=b", "c=d"), "", *NO)),
        (["--listen-port", "81"], Arguments(("route_listen=*:81",), "", *NO)),
        (["--listen-port", "8080"], Arguments(("route_listen=*:8080",), "", *NO)),
        (["--listen-host", "::1"], Arguments(("route_listen=[::1]:8080",), "", *NO)),
        (
            ["--listen-host=h", "--listen-port=0"],
            Arguments(("route_listen=h:0",), "", False, False),
        ),
        (["--workers", "2"], Arguments(("route_workers=2",), "", *NO)),
        (["--config", "x.yaml"], Arguments((), "x.yaml", *NO)),
        (["--check"], Arguments((), "", True, False)),
        (["--connect"], Arguments((), "", True, True)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments(argv: list[str], expected: Arguments) -> None:
    """Each of them is an option, or says what is to be done."""
    assert parse_arguments("serve", argv) == expected


def test_a_check_is_one() -> None:
    """``check`` needs no argument for it."""
    assert parse_arguments("check", [], is_check=True).is_check


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--listen-prot=1"], "no argument --listen-prot=1; did you mean --listen-port?"),
        (["--worker", "2"], "no argument --worker; did you mean --workers?"),
        (["x"], "no argument x; did you mean --set?"),
        (["--workers", "x"], "argument --workers: invalid int value: 'x'"),
        (["--set"], "argument --set: expected one argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_never_arguments(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not known ends the process with status 2, and the nearest name."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments("serve", argv)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"route-addon serve: {sentence}\n"
