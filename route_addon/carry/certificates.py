"""The router's own certificates: read, checked, chosen by name, read again when their files change.

A certificate and its key are in force together or not at all. What a client has negotiated stays
with its connection, so a certificate that is replaced cuts nobody.
"""

import asyncio
import datetime
import itertools
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL

from route_addon.carry.faults import describe_fault

logger = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0
"""How often files are looked at while handshakes come."""

_PATIENCE_S: Final = 1.0
"""How long a handshake waits for that: a file system that hangs must not stop the service."""

_RENEW_AFTER_S: Final = 86400.0
"""How long a context is used. Its session tickets are encrypted with keys that it made for itself,
and TLS 1.2 has no forward secrecy beyond those (RFC 5077 5.5)."""

_SOON: Final = datetime.timedelta(days=14)

_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""For TLS 1.2: forward secrecy and authenticated encryption only. All of TLS 1.3 has both."""


class CertificateFault(ValueError):
    """A certificate that cannot be used.

    Args:
        files: Where it should be.
        fault: What is wrong with it.
    """

    def __init__(self, files: "CertificateFiles", fault: str) -> None:
        super().__init__(fault)
        self.files = files


class CertificateFiles(NamedTuple):
    """Where a certificate is. Both files may be one."""

    chain: str
    """PEM: the certificate, then those that lead to its CA."""
    key: str
    """PEM: its private key."""
    names: tuple[str, ...] = ()
    """Names to use it for besides its own; ``*`` for all that no other has."""

    def __str__(self) -> str:
        return self.chain if self.chain == self.key else f"{self.chain}:{self.key}"


class Offer(NamedTuple):
    """What a TLS session of ours offers; that it is there says that the session is ours."""

    protocols: tuple[bytes, ...]
    """By ALPN, best first."""


class Certificate(NamedTuple):
    """A certificate that is in force."""

    files: CertificateFiles
    stamp: object
    """What the files looked like when they were read."""
    leaf: x509.Certificate
    names: tuple[str, ...]
    """Its subject alternative names."""
    is_in_order: bool
    """Whether each certificate of the chain was issued by the next."""
    context: SSL.Context
    made_at: float
    """In seconds since the epoch."""

    @property
    def name(self) -> str:
        """For a person."""
        return self.names[0] if self.names else self.leaf.subject.rfc4514_string()

    def describe(self) -> str:
        """In a few words, for the log."""
        return f"{self.name} until {_date(self.leaf.not_valid_after_utc)}"

    def find_faults(self, now: float) -> list[str]:
        """What an operator should be told of it.

        Args:
            now: In seconds since the epoch.
        """
        first, last = self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc
        today = datetime.datetime.fromtimestamp(now, datetime.UTC)
        what = f"certificate {self.name} ({self.files.chain})"
        faults: list[str] = []
        if not self.names:
            faults.append(f"{what} has no subject alternative name: clients will refuse it")
        if not self.is_in_order:
            faults.append(f"{what}: the chain is not in order, each must be followed by its issuer")
        if today < first:
            faults.append(f"{what} is not valid before {_date(first)}")
        elif today >= last:
            faults.append(f"{what} has expired: it was valid until {_date(last)}")
        elif last - today < min(_SOON, (last - first) / 3):
            # Some live for days only: those are late when the last third has begun.
            faults.append(f"{what} expires soon: it is valid until {_date(last)}")
        return faults


def _date(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def load_certificate(files: CertificateFiles, passphrase: str = "") -> Certificate:
    """Read a certificate and its key, and make a TLS context of them.

    Args:
        files: Where they are.
        passphrase: The key's, where it is encrypted.

    Raises:
        CertificateFault: They cannot be used; the text says why.
    """
    stamp = read_stamp(files)
    chain_pem = _read(files, files.chain)
    key_pem = chain_pem if files.key == files.chain else _read(files, files.key)
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
    except ValueError:
        raise CertificateFault(files, f"{files.chain} holds no certificate in PEM") from None
    try:
        key = load_pem_private_key(key_pem, passphrase.encode("utf-8") or None)
    except TypeError:
        raise CertificateFault(files, f"the key in {files.key} is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateFault(
            files, f"{files.key} holds no private key that can be read"
        ) from None
    leaf = chain[0]
    try:
        # An extension that cannot be read is as good as none.
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = alternative.get_values_for_type(x509.DNSName)
        addresses = alternative.get_values_for_type(x509.IPAddress)
    except (x509.ExtensionNotFound, ValueError):
        dns_names, addresses = [], []
    names = (*(name.lower() for name in dns_names), *map(str, addresses))
    if _spki(key.public_key()) != _spki(leaf.public_key()):
        name = names[0] if names else leaf.subject.rfc4514_string()
        until = _date(leaf.not_valid_after_utc)
        raise CertificateFault(
            files,
            f"the key in {files.key} is not that of the first certificate in {files.chain} "
            f"({name}, valid until {until})",
        )
    try:
        context = build_context(chain, key)  # type: ignore[arg-type] # it is the leaf's kind
    except (SSL.Error, TypeError) as error:
        raise CertificateFault(files, f"TLS does not take it ({last_reason(error)})") from None
    is_in_order = all(one.issuer == issuer.subject for one, issuer in itertools.pairwise(chain))
    return Certificate(files, stamp, leaf, names, is_in_order, context, time.time())


def read_stamp(files: CertificateFiles) -> object:
    """What tells that files have changed, also when a link leads to others now."""
    return tuple(map(stamp_file, {files.chain: 0, files.key: 0}))


def stamp_file(path: str) -> object:
    """The same for one path. A file that is not there has one, too."""
    try:
        stat = os.stat(path)
    except OSError as error:
        return error.errno
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read(files: CertificateFiles, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateFault(files, f"{path} cannot be read ({error.strerror})") from None


def _spki(key: object) -> bytes:
    spki: bytes = key.public_bytes(  # type: ignore[attr-defined] # every public key has it
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return spki


def last_reason(error: BaseException) -> str:
    """What OpenSSL says is wrong, without its inner names."""
    entries = error.args[0] if error.args else None
    if isinstance(entries, list) and entries:
        return str(entries[-1][2]) or "no reason given"
    return str(error) or type(error).__name__


def build_context(
    chain: Sequence[x509.Certificate], key: CertificateIssuerPrivateKeyTypes
) -> SSL.Context:
    """A server's TLS context: TLS 1.2 at least, modern ciphers, session tickets.

    Args:
        chain: The certificate, then those that lead to its CA.
        key: Its private key.

    Raises:
        SSL.Error: OpenSSL does not take them; a key that is too short, for one.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # Tickets hold all that a resumption needs: a cache here would only grow.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # A thousand silent WebSockets would hold 32 KiB of buffers each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_alpn_select_callback(_select_protocol)
    context.use_certificate(chain[0])
    for issuer in chain[1:]:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(key)
    context.check_privatekey()
    return context


def _select_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """Choose by ALPN.

    Raises:
        SSL.Error: Nothing in common. RFC 7301 3.2 ends the handshake then; going on would let
            another protocol's client talk to us.
    """
    offer: Offer = connection.get_app_data()
    for protocol in offer.protocols:
        if protocol in offered:
            return protocol
    raise SSL.Error("no application protocol in common")


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

    def open_session(self, name: str | None, protocols: tuple[bytes, ...]) -> SSL.Connection:
        """A TLS session towards a client.

        Args:
            name: The name that it gives.
            protocols: What to offer by ALPN, best first.
        """
        session = SSL.Connection(self.select(name).context)
        session.set_app_data(Offer(protocols))
        session.set_accept_state()
        return session

    async def refresh(self) -> None:
        """Take changed files, if it is time to look. A handshake calls this when it starts."""
        now = asyncio.get_running_loop().time()
        is_busy = self._check is not None and not self._check.done()
        if not is_busy and now >= self._next_check:
            self._next_check = now + CHECK_EVERY_S
            self._check = asyncio.create_task(self._refresh())
        if self._check is not None and not self._check.done():
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
