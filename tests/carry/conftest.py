"""Files of certificates."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from route_addon.carry.tls.certificate import (
    CertificateFiles,
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., CertificateFiles]:
    """Writes a certificate's files."""

    def write(
        leaf: trustme.LeafCert, name: str = "both", key: trustme.LeafCert | None = None
    ) -> CertificateFiles:
        chain, key_file = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        chain.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key_file.write_bytes((key or leaf).private_key_pem.bytes())
        return CertificateFiles(str(chain), str(key_file))

    return write
