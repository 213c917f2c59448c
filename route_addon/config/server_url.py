"""A server as text: a URL, or a host with or without a port."""

import re
from urllib.parse import urlsplit

from route_addon.core.authority import parse_authority
from route_addon.core.messages import Server


def parse_server(text: str) -> Server:
    """Parse a URL, or ``host[:port]``; IPv6 with or without brackets.

    Raises:
        ValueError: It is neither; the text says what is wanted.
    """
    wanted = "must be a URL (http://host:port) or host[:port]"
    bare_ipv6 = "://" not in text and text.count(":") > 1 and not text.startswith("[")
    url = f"http://[{text}]" if bare_ipv6 else text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(wanted) from None
    if parts.scheme not in ("http", "https") or re.search(r"[\t\r\n]", text):
        raise ValueError(wanted)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{wanted}, without a path")
    authority = parse_authority(parts.netloc.encode("utf-8"))
    if authority is None:
        raise ValueError(wanted)
    host = authority.host.decode("ascii").strip("[]")
    default_port = 443 if parts.scheme == "https" else 80
    return Server(parts.scheme.encode("ascii"), host, authority.port or default_port)
