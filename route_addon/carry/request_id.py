"""Fresh request identifiers, unique among all processes and cheap to make."""

import itertools
import os

_process_id = b""
_numbers = itertools.count()


def make_request_id() -> bytes:
    """A fresh identifier: 24 hex digits."""
    return b"%s%08x" % (_process_id, next(_numbers))


def _be_another() -> None:
    """Each process has a beginning of its own: workers are forks, and would share one."""
    global _process_id
    _process_id = os.urandom(8).hex().encode("ascii")


_be_another()
os.register_at_fork(after_in_child=_be_another)
