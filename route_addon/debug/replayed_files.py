"""The files that mitmproxy is told to replay: read to their ends before anything is done.

``-S FILE`` finds an answer by all of a request but its fields, and that before its content comes.
Where that can find none it would send the request on in silence; so such a file is refused.
"""

from collections.abc import Callable
from typing import Final

from mitmproxy import ctx, exceptions, http

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.mask import PLACEHOLDER
from route_addon.core.credentials import holds_token
from route_addon.core.router import Router
from route_addon.debug.judgement import judge, recorded_time
from route_addon.debug.recording import BadRecording, read_recording
from route_addon.debug.replay import show
from route_addon.options import BadOption
from route_addon.start import refuse_start

_OPTIONS: Final = ("rfile", "client_replay", "server_replay")
_STDIN: Final = "-"


class ReplayedFiles:
    """Looks at files that an option names.

    Args:
        router: The router in force; None while there is none.
    """

    name = "route_replayed_files"

    def __init__(self, router: Callable[[], Router | None]) -> None:
        self._router = router
        self._is_running = False

    def configure(self, updated: set[str]) -> None:
        """Refuse a file that cannot be used.

        Raises:
            OptionsError: It cannot, and the router runs.
        """
        try:
            for name in _OPTIONS:
                if name in updated:
                    self._check(name)
        except BadOption as error:
            if not self._is_running:
                refuse_start(str(error))
            raise exceptions.OptionsError(str(error)) from None

    def running(self) -> None:
        """From now on a bad file is no reason to end."""
        self._is_running = True

    def _check(self, name: str) -> None:
        value = getattr(ctx.options, name, None) or ()
        for path in (value,) if isinstance(value, str) else value:
            if path == _STDIN:
                continue
            try:
                for offset, flow in read_recording(path):
                    fault = self._find_fault(flow) if name == "server_replay" else None
                    if fault is not None:
                        raise BadRecording(path, offset, fault)
            except BadRecording as error:
                raise BadOption(name, path, str(error)) from None

    def _find_fault(self, flow: http.HTTPFlow) -> str | None:
        router = self._router()
        return find_fault(flow, router) if router is not None else None


def find_fault(flow: http.HTTPFlow, router: Router) -> str | None:
    """Why a recorded answer cannot be given to a request like the recorded one, if so.

    Args:
        flow: The recorded flow.
        router: Knows which requests stream.
    """
    request = show(f"{flow.request.method} {flow.request.path.partition('?')[0]}")
    evidence = flow.metadata.get(EVIDENCE)
    said = evidence if isinstance(evidence, dict) else {}
    is_cut = said.get("answer_cut") or said.get("answer_withheld")
    path = flow.request.data.path
    if holds_token(path) or PLACEHOLDER.search(path) is not None:
        return f"{request}: its token is in the path or the query, where no two are alike"
    if flow.websocket is not None:
        return f"{request}: a WebSocket cannot be answered from a recording"
    if flow.request.data.content and _streams(flow, router):
        return f"{request}: its content streams, and is not there when the answer is looked for"
    if is_cut or (flow.response is not None and flow.response.data.content is None):
        return f"{request}: its answer is not whole in the recording (route_watch_body_bytes)"
    return None


def _streams(flow: http.HTTPFlow, router: Router) -> bool:
    location = judge(flow, router, recorded_time(flow)).location
    return location is not None and location.body == "stream"
