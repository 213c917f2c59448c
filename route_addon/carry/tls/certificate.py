"""One certificate of the router's: read from its files and checked, with its TLS context."""

import datetime
import itertools
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL

from route_addon.carry.tls.server_context import build_context, last_reason

_SOON: Final = datetime.timedelta(days=14)


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
    chain, key = _load_chain(files, chain_pem), _load_key(files, key_pem, passphrase)
    leaf = chain[0]
    names = _read_names(leaf)
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


def _load_chain(files: CertificateFiles, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CertificateFault(files, f"{files.chain} holds no certificate in PEM") from None


def _load_key(files: CertificateFiles, pem: bytes, passphrase: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, passphrase.encode("utf-8") or None)
    except TypeError:
        raise CertificateFault(files, f"the key in {files.key} is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateFault(
            files, f"{files.key} holds no private key that can be read"
        ) from None


def _read_names(leaf: x509.Certificate) -> tuple[str, ...]:
    """The subject alternative names; an extension that cannot be read is as good as none."""
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = alternative.get_values_for_type(x509.DNSName)
        addresses = alternative.get_values_for_type(x509.IPAddress)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return (*(name.lower() for name in dns_names), *map(str, addresses))


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
