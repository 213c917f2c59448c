"""The router's own certificates: read, checked, chosen by name, read again when their files change.

A certificate and its key are in force together or not at all. What a client has negotiated stays
with its connection, so a certificate that is replaced cuts nobody.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from OpenSSL import SSL

from route_addon.carry.faults import describe_fault
from route_addon.carry.tls.certificate import (
    Certificate,
    CertificateFault,
    CertificateFiles,
    load_certificate,
    read_stamp,
)
from route_addon.carry.tls.server_context import Offer

logger = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0
"""How often files are looked at while handshakes come."""

_PATIENCE_S: Final = 1.0
"""How long a handshake waits for that: a file system that hangs must not stop the service."""

_RENEW_AFTER_S: Final = 86400.0
"""How long a context is used. Its session tickets are encrypted with keys that it made for itself,
and TLS 1.2 has no forward secrecy beyond those (RFC 5077 5.5)."""


class Certificates:
    """All certificates of the router.

    Args:
        files: Where they are. The first is for clients that name no host, or one that none is for.
        passphrase: That of the keys, where they are encrypted.

    Raises:
        CertificateFault: One that cannot be used.
    """

    def __init__(self, files: Sequence[CertificateFiles], passphrase: str = "") -> None:
        self.source = (tuple(files), passphrase)
        """What they were made of."""
        self._passphrase = passphrase
        self._failed: dict[CertificateFiles, object] = {}
        self._next_check = 0.0
        self._check: asyncio.Task[None] | None = None
        self._take([load_certificate(one, passphrase) for one in files])

    def __bool__(self) -> bool:
        return bool(self._all)

    def describe(self) -> str:
        """For the line at the start."""
        return ", ".join(certificate.describe() for certificate in self._all) or "none"

    @property
    def first_expiry(self) -> float | None:
        """When the first of them expires, in seconds since the epoch; None where there is none."""
        expiries = [one.leaf.not_valid_after_utc.timestamp() for one in self._all]
        return min(expiries, default=None)

    @property
    def has_failed(self) -> bool:
        """Whether one in force is older than its files, because these cannot be used."""
        return bool(self._failed)

    def find_faults(self) -> list[str]:
        """What an operator should be told of them."""
        now = time.time()
        return [fault for certificate in self._all for fault in certificate.find_faults(now)]

    def select(self, name: str | None) -> Certificate:
        """The certificate for the name that a client gives (RFC 6066 3)."""
        if name is None:
            return self._default
        host = name.lower().rstrip(".")
        found = self._by_name.get(host)
        if found is None:
            # A wildcard stands for one label (RFC 9525 6.3).
            found = self._by_name.get(f"*.{host.partition('.')[2]}", self._default)
        return found

    def open_session(self, protocols: tuple[bytes, ...]) -> SSL.Connection:
        """A TLS session towards a client; the certificate follows the name that it gives.

        Args:
            protocols: What to offer by ALPN, best first.
        """
        session = SSL.Connection(self._default.context)
        session.set_app_data(Offer(protocols, lambda name: self.select(name).context))
        session.set_accept_state()
        return session

    @property
    def is_fresh(self) -> bool:
        """Whether the files need not be looked at."""
        is_busy = self._check is not None and not self._check.done()
        return not is_busy and asyncio.get_running_loop().time() < self._next_check

    async def refresh(self) -> None:
        """Take changed files, if it is time to look. A handshake calls this when it starts."""
        if self.is_fresh:
            return
        if self._check is None or self._check.done():
            self._next_check = asyncio.get_running_loop().time() + CHECK_EVERY_S
            self._check = asyncio.create_task(self._refresh())
        await asyncio.wait((self._check,), timeout=_PATIENCE_S)

    async def _refresh(self) -> None:
        try:
            loaded = await asyncio.to_thread(self._load_changed)
            self._apply(loaded)
        except Exception as fault:
            logger.error("certificates could not be looked at: %s", describe_fault(fault))

    def _load_changed(self) -> list[Certificate | CertificateFault]:
        """What there is in the place of those whose files have changed. Runs in a thread."""
        loaded: list[Certificate | CertificateFault] = []
        now = time.time()
        for old in self._all:
            files, stamp = old.files, read_stamp(old.files)
            is_old = not 0 <= now - old.made_at < _RENEW_AFTER_S
            if stamp == old.stamp:
                # The old files may be back.
                self._failed.pop(files, None)
            if stamp == self._failed.get(files) or (stamp == old.stamp and not is_old):
                continue
            try:
                loaded.append(load_certificate(files, self._passphrase))
            except CertificateFault as fault:
                # Files that change under our hands are looked at again the next time.
                if read_stamp(files) == stamp:
                    self._failed[files] = stamp
                    loaded.append(fault)
        return loaded

    def _apply(self, loaded: Sequence[Certificate | CertificateFault]) -> None:
        """Put what was read in force, all at once, and tell of it."""
        if not loaded:
            return
        new: dict[CertificateFiles, Certificate] = {}
        for one in loaded:
            if isinstance(one, CertificateFault):
                logger.warning(
                    "certificate %s cannot be used, the old one stays in force: %s", one.files, one
                )
            else:
                new[one.files] = one
                self._failed.pop(one.files, None)
        old = {certificate.files: certificate for certificate in self._all}
        self._take([new.get(files, certificate) for files, certificate in old.items()])
        now = time.time()
        for files, certificate in new.items():
            if certificate.stamp != old[files].stamp:
                logger.info("certificate %s is in force", certificate.describe())
            for fault in certificate.find_faults(now):
                logger.warning("%s", fault)

    def _take(self, certificates: Sequence[Certificate]) -> None:
        by_name: dict[str, Certificate] = {}
        for names_of in _NAMES:
            for certificate in certificates:
                for name in names_of(certificate):
                    by_name.setdefault(name.lower(), certificate)
        self._by_name = by_name
        self._all = tuple(certificates)
        if certificates:
            self._default = by_name.get("*", certificates[0])


_NAMES: Final[tuple[Callable[[Certificate], tuple[str, ...]], ...]] = (
    lambda certificate: certificate.files.names,
    lambda certificate: certificate.names,
)
"""Where a certificate's names come from; what was configured wins over what it says of itself."""
