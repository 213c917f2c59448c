"""Files that settings are made of: what is told of them, and what happens when they change."""

from pathlib import Path

from route_addon.config.stamps import stamp_files
from route_addon.core.messages import Server
from tests.config.building import build


def test_files_that_settings_are_made_of() -> None:
    """Keys, CAs and the configuration file are told of, so that they can be watched.

    So is nginx's certificate, where no other is named.
    """
    files = set(build({"route_upstream_ca": "ca.pem"}).files)
    assert files == {"ca.pem", "/etc/nginx/ssl/tls.crt", "/etc/nginx/ssl/tls.key"}
    assert set(build({"route_upstream_ca": "ca.pem", "route_certs": "own.pem"}).files) == {"ca.pem"}


def test_files_that_change_while_they_are_read(tmp_path: Path) -> None:
    """They are read again: settings are never made of an old file and a new one."""
    file = tmp_path / "config.toml"
    file.write_text('[upstream.website]\nservers = ["old"]', "utf-8")

    def is_set(name: str) -> bool:
        # Asked for once the file has been read.
        file.write_text('[upstream.website]\nservers = ["newer"]', "utf-8")
        return False

    settings = build({"route_config": str(file)}, is_set=is_set)
    assert settings.rules.upstreams["website"] == (Server(b"http", "newer", 80),)


def test_files_that_never_stop_changing(tmp_path: Path) -> None:
    """They are taken as they were read last, and seen to have changed since."""
    file = tmp_path / "config.toml"
    file.write_text('[upstream.website]\nservers = ["x"]', "utf-8")

    def is_set(name: str) -> bool:
        file.write_text(file.read_text("utf-8") + " ", "utf-8")
        return False

    settings = build({"route_config": str(file)}, is_set=is_set)
    assert settings.files != stamp_files(settings.files)
