"""Faults of our own, told without what was in their hands."""

import errno
import ssl

import pytest

from route_addon.carry.faults import describe_fault, describe_refusal

SECRET = "eyJhbGciOi.a-secret.a-token"


def _fail(secret: str) -> None:
    raise ValueError(f"cannot read {secret}")


def test_raised() -> None:
    """The type, and the innermost place where it was raised; not what it says."""
    with pytest.raises(ValueError) as caught:
        _fail(SECRET)
    told = describe_fault(caught.value)
    line = _fail.__code__.co_firstlineno + 1
    assert told == f"ValueError at {__file__}:{line} in _fail"


def test_never_raised() -> None:
    """A fault that was never raised has no place."""
    assert describe_fault(RuntimeError(SECRET)) == "RuntimeError"


def test_causes() -> None:
    """What led to it is not told either."""
    with pytest.raises(RuntimeError) as caught:
        try:
            _fail(SECRET)
        except ValueError as cause:
            raise RuntimeError(SECRET) from cause
    assert SECRET not in describe_fault(caught.value)
    assert "ValueError" not in describe_fault(caught.value)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (OSError(errno.ENOSPC, SECRET), "no space left on device"),
        (ConnectionRefusedError(errno.ECONNREFUSED, SECRET), "connection refused"),
        (OSError(SECRET), "OSError"),
        (ssl.SSLError(1, SECRET), "SSLError"),
        (ValueError(SECRET), "ValueError"),
    ],
    ids=["disk", "connection", "no number", "TLS", "another kind"],
)
def test_what_the_system_says(fault: Exception, told: str) -> None:
    """It is told in the system's words, never in the fault's own."""
    assert describe_refusal(fault) == told
