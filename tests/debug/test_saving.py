"""What ``-w`` writes to a disk that fills."""

from pathlib import Path

import pytest
from mitmproxy import http

from route_addon.debug.recording import read_recording
from route_addon.debug.saving import Saving
from tests.debug.limiting import limited
from tests.hosting import answer, make_flow, make_host


def _flow() -> http.HTTPFlow:
    flow = make_flow(b"/x")
    answer(flow)
    return flow


async def test_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It ends with a warning and a file of whole flows; another one can be begun."""
    first, second = tmp_path / "first.mitm", tmp_path / "second.mitm"
    host = make_host()
    save = host.master.addons.get("save")
    for _ in range(2):
        # As after a reload of the script.
        host.master.addons.add(saving := Saving())
        host.master.addons.remove(saving)
    host.options.update(save_stream_file=str(first))
    save.response(_flow())
    with limited(first.stat().st_size + 100):
        save.response(_flow())
    assert caplog.messages == [f"-w ends: {first} cannot be written to"]
    assert host.options.save_stream_file is None
    save.response(_flow())
    assert len(list(read_recording(first))) == 1
    host.options.update(save_stream_file=str(second))
    save.response(_flow())
    host.options.update(save_stream_file=None)
    assert len(list(read_recording(second))) == 1
