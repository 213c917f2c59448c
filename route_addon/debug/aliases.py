"""What a recording names of a flow: an alias in the place of each pod's address."""

from typing import Any

from mitmproxy import connection, http

from route_addon.carry.evidence import EVIDENCE
from route_addon.core.locations import POD
from route_addon.core.recorded import Recorded


class Aliases:
    """Names for pods: ``pod-1`` for the first one that is seen."""

    def __init__(self) -> None:
        self._aliases: dict[str, str] = {}

    def alias(self, host: str) -> str:
        """The alias of a pod: the same one each time."""
        return self._aliases.setdefault(host, f"pod-{len(self._aliases) + 1}")


def redact(flow: http.HTTPFlow, aliases: Aliases) -> http.HTTPFlow:
    """A copy of a flow for a recording.

    Args:
        flow: The flow; it stays as it is.
        aliases: Names its pod.
    """
    copy: http.HTTPFlow = flow.copy()
    copy._backup = None
    evidence = copy.metadata.get(EVIDENCE, {})
    address = flow.server_conn.address
    host, server = evidence.get("host"), evidence.get("server")
    if evidence.get("upstream") == POD and isinstance(host, str):
        alias = aliases.alias(host)
        address = (alias, evidence["port"])
        copy.metadata[EVIDENCE] = _with_alias(evidence, alias)
        copy.request.data.host = alias
        if isinstance(server, str):
            copy.comment = copy.comment.replace(server, f"{alias}:{evidence['port']}")
    copy.server_conn = _show_server(flow.server_conn, address)
    return copy


def _with_alias(evidence: dict[str, Any], alias: str) -> dict[str, Any]:
    named = {**evidence, "host": alias, "server": f"{alias}:{evidence['port']}"}
    if evidence.get("decision") is not None:
        named["decision"] = Recorded.read(evidence["decision"]).with_alias(alias).to_plain()
    return named


def _show_server(server: connection.Server, address: tuple[str, int] | None) -> connection.Server:
    """When a connection was made, and to whom; not the addresses that it ran between."""
    return connection.Server(
        address=address,
        timestamp_start=server.timestamp_start,
        timestamp_tcp_setup=server.timestamp_tcp_setup,
        timestamp_tls_setup=server.timestamp_tls_setup,
        timestamp_end=server.timestamp_end,
        tls=server.tls,
        tls_version=server.tls_version,
    )
