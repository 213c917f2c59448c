"""Answers out of a recording: ``-S FILE``, and the ``replay.server`` commands.

mitmproxy finds an answer by all of a request but its fields, and that before its content comes.
Where that can find none it would send the request on in silence; so such a flow is refused.
"""

from collections.abc import Callable, Iterator, Sequence

from mitmproxy import command, ctx, exceptions, flow, http, types
from mitmproxy.addons.serverplayback import ServerPlayback

from route_addon.carry.evidence import EVIDENCE
from route_addon.core.credentials import holds_token
from route_addon.core.router import Router
from route_addon.core.tokens import PLACEHOLDER
from route_addon.debug.judgement import judge, recorded_time
from route_addon.debug.recording import BadRecording, read_recording
from route_addon.debug.replay import show


class ServerReplay:
    """Stands before mitmproxy's own commands.

    Args:
        router: The router in force; None while there is none.
    """

    name = "route_server_replay"

    def __init__(self, router: Callable[[], Router | None]) -> None:
        self._router = router

    @command.command("replay.server")
    def replay(self, flows: Sequence[flow.Flow]) -> None:
        """Answer requests as these flows were answered, where that can be done."""
        self._check(flows)
        _playback().load_flows(flows)

    @command.command("replay.server.add")
    def add(self, flows: Sequence[flow.Flow]) -> None:
        """Answer requests as these flows were answered, too."""
        self._check(flows)
        _playback().add_flows(flows)

    @command.command("replay.server.file")
    def replay_file(self, path: types.Path) -> None:
        """Answer requests out of a recording."""
        try:
            _playback().load_flows(list(read_answers(path, self._in_force())))
        except BadRecording as error:
            raise exceptions.CommandError(str(error)) from None

    def _check(self, flows: Sequence[flow.Flow]) -> None:
        router = self._in_force()
        for one in flows:
            fault = find_fault(one, router) if isinstance(one, http.HTTPFlow) else None
            if fault is not None:
                raise exceptions.CommandError(fault)

    def _in_force(self) -> Router:
        router = self._router()
        if router is None:
            raise exceptions.CommandError("no router is in force")
        return router


def _playback() -> ServerPlayback:
    playback = ctx.master.addons.get("serverplayback")
    if not isinstance(playback, ServerPlayback):
        raise exceptions.CommandError("this mitmproxy answers from no recording")
    return playback


def read_answers(path: str, router: Router) -> Iterator[http.HTTPFlow]:
    """The flows of a recording, as long as requests like theirs can be answered from it.

    Args:
        path: The file.
        router: Knows which requests stream.

    Raises:
        BadRecording: It cannot be read, or holds a flow that could answer nothing.
    """
    for offset, read in read_recording(path):
        fault = find_fault(read, router)
        if fault is not None:
            raise BadRecording(path, offset, fault)
        yield read


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
    fault = _find_content_fault(flow, router) if flow.request.data.content else None
    if fault is not None:
        return f"{request}: {fault}"
    if is_cut or (flow.response is not None and flow.response.data.content is None):
        return f"{request}: its answer is not whole in the recording (route_watch_body_bytes)"
    return None


def _find_content_fault(flow: http.HTTPFlow, router: Router) -> str | None:
    try:
        location = judge(flow, router, recorded_time(flow)).location
    except Exception as fault:
        # Its metadata may be a stranger's.
        return f"it cannot be judged ({type(fault).__name__})"
    if location is not None and location.body == "stream":
        return "its content streams, and is not there when the answer is looked for"
    return None
