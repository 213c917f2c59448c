"""How a fault of our own is told: where it happened, and nothing of what was in its hands."""

import os
import ssl
import traceback


def describe_fault(fault: BaseException) -> str:
    """The type of an exception and where it was raised.

    Not its message and not a whole stack trace: either may hold a token.
    """
    frames = traceback.extract_tb(fault.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(fault).__name__}{where}"


def describe_refusal(fault: BaseException) -> str:
    """What the system says; the fault's own words would name an address or a file."""
    if not isinstance(fault, OSError) or isinstance(fault, ssl.SSLError) or not fault.errno:
        return type(fault).__name__
    return os.strerror(fault.errno).lower()
