"""Our reader in the place of mitmproxy's, for every file of flows that mitmproxy opens.

It opens one for ``-r``, for ``-C`` and ``-S``, for the commands that replay a file or load it into
the list, and for mitmweb's dialog; and all of them ask one class. From here on a file is read to
its end before anything is made of what is in it.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast

from mitmproxy import addonmanager, ctx, exceptions, flow
from mitmproxy.addons.readfile import ReadFile
from mitmproxy.io import FlowReader

from route_addon.debug.recording import BadRecording, check_flows, read_flows
from route_addon.debug.upload import check_uploads

logger = logging.getLogger(__name__)

_WEB_ADDON: Final = "webaddon"
_READ_FILE: Final = ("readfile", "readfilestdin")
_STREAM: Final = FlowReader.stream
"""mitmproxy's own."""


class Reader:
    """Reads flows in mitmproxy's place.

    Args:
        fail: Told that what ``-r`` names was refused.
    """

    name = "route_reader"

    def __init__(self, fail: Callable[[], None]) -> None:
        self._fail = fail

    def load(self, loader: addonmanager.Loader) -> None:
        """Take its reader's place, and stand before what mitmweb does with an upload."""
        _use(stream)
        for name in _READ_FILE:
            readfile = ctx.master.addons.get(name)
            if isinstance(readfile, ReadFile):
                vars(readfile)["doread"] = lambda path, by=readfile: self._read(by, path)
        if ctx.master.addons.get(_WEB_ADDON) is not None:
            check_uploads()

    def done(self) -> None:
        """Leave it, unless somebody else has taken it since."""
        if FlowReader.stream is stream:
            _use(_STREAM)

    async def _read(self, readfile: ReadFile, path: str) -> None:
        """Load what ``-r`` names; mitmproxy would tell of a fault by a stack trace."""
        try:
            await readfile.load_flows_from_path(path)
        except exceptions.FlowReadException as error:
            logger.error("%s", error)
            self._fail()


def _use(method: object) -> None:
    reader: Any = FlowReader
    reader.stream = method


def stream(reader: FlowReader) -> Iterator[flow.Flow]:
    """The flows of a file, once all of them have been seen to be in order.

    Args:
        reader: mitmproxy's, which holds the file.

    Raises:
        FlowReadException: It is refused; the sentence names the file, and the place in it.
    """
    path = getattr(reader.fo, "name", "the upload")
    try:
        with _whole(reader.fo) as file:
            check_flows(path, file)
            yield from (read for _, read in read_flows(path, file))
    except BadRecording as error:
        raise exceptions.FlowReadException(str(error)) from None


@contextmanager
def _whole(file: BinaryIO) -> Iterator[BinaryIO]:
    """A file that can be read twice: of what a pipe brings, a copy."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copied:
        shutil.copyfileobj(file, copied)
        yield cast(BinaryIO, copied)
