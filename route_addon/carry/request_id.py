"""Fresh request identifiers, unique among all processes and cheap to make."""

import itertools
import os

_PROCESS_ID = os.urandom(8).hex().encode("ascii")
_numbers = itertools.count()


def make_request_id() -> bytes:
    """A fresh identifier: 24 hex digits."""
    return b"%s%08x" % (_PROCESS_ID, next(_numbers))
