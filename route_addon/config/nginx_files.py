"""What an installation of the parent may have mounted for nginx, and what becomes of it here.

Certificates are used where they lie. Rules of nginx's are not read: a start that would lose one
in silence, an address that may not see the console or a password that is asked for, is refused.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from route_addon.carry.tls.certificate import CertificateFiles

FOLDER = Path("/etc/nginx")
"""Where the parent's Deployment mounts them."""

_PASSWORDS = ("locationslash.conf", ".htpasswd")
_CONSOLE = "console.conf"
_SITE = "sites-enabled/routehttp.conf"
_COMMENT = re.compile(r"(?m)#.*$")
_ADDRESS_RULES = frozenset({"allow", "deny"})
_HARMLESS = frozenset({"set_real_ip_from", "real_ip_header", "real_ip_recursive"})
"""What the parent's own console.conf holds; here route_trusted_proxies does that."""


class Lost(NamedTuple):
    """A file whose rules would be lost."""

    path: Path
    remedy: str
    """What to do to keep what they did."""


def find_lost_rules(folder: Path, *, has_console_rules: bool) -> Iterator[Lost]:
    """Find the files with rules that nothing here takes the place of.

    Args:
        folder: nginx's.
        has_console_rules: Whether route_console_allow says who may see the console.
    """
    for name in _PASSWORDS:
        if _statements(folder / name):
            yield Lost(folder / name, "ask for passwords in a proxy in front")
    lost = {words[0] for words in _statements(folder / _CONSOLE)} - _HARMLESS
    if lost and not (has_console_rules and lost <= _ADDRESS_RULES):
        yield Lost(folder / _CONSOLE, f"set route_console_allow{_console_allow(folder)}")


def find_ignored_site(folder: Path) -> str:
    """A sentence on a server block of one's own that is not read; empty when there is none."""
    path = folder / _SITE
    if not path.exists():
        return ""
    return (
        f"{path} is not read: listeners are route_listen's, certificates are those of route_certs "
        f"or in {folder}/ssl, ports and locations of one's own are those of route_config"
    )


def certificate_files(folder: Path) -> CertificateFiles:
    """Where nginx's certificate would be, as a Kubernetes TLS secret is mounted."""
    return CertificateFiles(str(folder / "ssl" / "tls.crt"), str(folder / "ssl" / "tls.key"))


def find_certificate(folder: Path) -> tuple[CertificateFiles, ...]:
    """The certificate that nginx was given."""
    files = certificate_files(folder)
    is_whole = Path(files.chain).exists() and Path(files.key).exists()
    return (files,) if is_whole else ()


def _console_allow(folder: Path) -> str:
    """``=NETWORKS`` where console.conf has the plain form: some are allowed, then ``deny all``."""
    rules = [words for words in _statements(folder / _CONSOLE) if words[0] in _ADDRESS_RULES]
    *allowed, last = rules or [["deny", ""]]
    if last != ["deny", "all"] or any(words[0] != "allow" for words in allowed):
        return ""
    return "=" + (",".join(words[-1] for words in allowed) or "none")


def _statements(path: Path) -> list[list[str]]:
    """The statements of an nginx file, as words; one that cannot be read may hold anything."""
    try:
        text = path.read_text("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return [["unreadable"]]
    parts = re.split(r"[;{}]", _COMMENT.sub("", text))
    return [words for words in map(str.split, parts) if words]
