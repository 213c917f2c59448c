"""What was mounted for nginx: which of it stops a start, and what is used."""

from pathlib import Path

import pytest

from route_addon.carry.tls.certificate import CertificateFiles
from route_addon.config import nginx_files
from route_addon.config.build import build_settings
from route_addon.config.environment import default_values
from route_addon.config.nginx_files import find_certificate, find_ignored_site, find_lost_rules
from route_addon.config.settings import Settings
from route_addon.options import BadOption, Value

PARENTS_OWN = """
set_real_ip_from 0.0.0.0/0; # change this
real_ip_header X-Forwarded-For;
real_ip_recursive on;
# allow 10.0.0.0/8;
# deny all;
"""


def _lost(folder: Path, *, has_console_rules: bool = False) -> list[tuple[str, str]]:
    return [
        (lost.path.name, lost.remedy)
        for lost in find_lost_rules(folder, has_console_rules=has_console_rules)
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("console.conf", PARENTS_OWN, id="the parent's own console.conf"),
        pytest.param("console.conf", "", id="an empty console.conf"),
        pytest.param("locationslash.conf", "# nothing\n \n", id="comments alone"),
        pytest.param(".htpasswd", "", id="no users"),
        pytest.param("nginx.conf", "allow 10.0.0.0/8;", id="a file of nginx's own"),
    ],
)
def test_nothing_is_lost(tmp_path: Path, name: str, text: str) -> None:
    """A file without rules stops no start."""
    (tmp_path / name).write_text(text)
    assert _lost(tmp_path) == []


def test_nothing_is_mounted(tmp_path: Path) -> None:
    """Nor does a folder that is not there."""
    assert _lost(tmp_path / "nginx") == []
    assert find_ignored_site(tmp_path) == ""
    assert find_certificate(tmp_path) == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("locationslash.conf", 'auth_basic "Restricted";\nauth_basic_user_file /x/.htpasswd;'),
        ("locationslash.conf", "deny all"),
        ("locationslash.conf", '"#"'),
        (".htpasswd", "alice:$apr1$x$y\n"),
    ],
)
def test_passwords_are_lost(tmp_path: Path, name: str, text: str) -> None:
    """Whatever stood there, the remedy is a proxy in front."""
    (tmp_path / name).write_text(text)
    assert _lost(tmp_path) == [(name, "ask for passwords in a proxy in front")]
    assert _lost(tmp_path, has_console_rules=True) == _lost(tmp_path)


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        pytest.param("allow 10.0.0.0/8; allow\n ::1; deny all;", "=10.0.0.0/8,::1", id="networks"),
        pytest.param("deny all;", "=none", id="nobody"),
        pytest.param("deny 10.1.0.0/16; allow 10.0.0.0/8; deny all;", "", id="an exception"),
        pytest.param("allow 10.0.0.0/8;", "", id="an open end"),
    ],
)
def test_the_consoles_rules_are_lost(tmp_path: Path, rules: str, value: str) -> None:
    """The remedy is the option, with its value where the rules are plain; set, it is enough."""
    (tmp_path / "console.conf").write_text(PARENTS_OWN + rules)
    assert _lost(tmp_path) == [("console.conf", f"set route_console_allow{value}")]
    assert _lost(tmp_path, has_console_rules=True) == []


@pytest.mark.parametrize("text", ["auth_basic x;", "allow all; auth_basic x;", "if ($x) { }"])
def test_other_rules_of_the_console(tmp_path: Path, text: str) -> None:
    """What route_console_allow does not do is lost with it, too."""
    (tmp_path / "console.conf").write_text(text)
    assert [name for name, _ in _lost(tmp_path, has_console_rules=True)] == ["console.conf"]


@pytest.mark.parametrize("name", ["console.conf", "locationslash.conf", ".htpasswd"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """It may hold anything."""
    (tmp_path / name).mkdir()
    assert [lost for lost, _ in _lost(tmp_path, has_console_rules=True)] == [name]


def test_a_certificate(tmp_path: Path) -> None:
    """It is used where chain and key are both there."""
    folder = tmp_path / "ssl"
    folder.mkdir()
    (folder / "tls.crt").touch()
    assert find_certificate(tmp_path) == ()
    (folder / "tls.key").touch()
    expected = CertificateFiles(str(folder / "tls.crt"), str(folder / "tls.key"))
    assert find_certificate(tmp_path) == (expected,)


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nginx's folder, with rules for the console and a server block of one's own."""
    monkeypatch.setattr(nginx_files, "FOLDER", tmp_path)
    (tmp_path / "console.conf").write_text("deny all;")
    (tmp_path / "sites-enabled").mkdir()
    (tmp_path / "sites-enabled" / "routehttp.conf").touch()
    return tmp_path


def _build(changes: dict[str, Value], *, need_keys: bool = True) -> Settings:
    return build_settings({**default_values({}), **changes}, need_keys=need_keys)


def test_a_start_is_refused(nginx: Path, key_options: dict[str, Value]) -> None:
    """The sentence names the file, what to set, and the way out."""
    with pytest.raises(BadOption) as caught:
        _build(key_options)
    assert str(caught.value) == (
        f"route_ignore_nginx_config=false: {nginx}/console.conf holds rules of nginx's, which are "
        "not in force here: set route_console_allow=none and mount the file no more, or set this "
        "to true to go without them"
    )


def test_a_replay_is_not_refused(nginx: Path) -> None:
    """Where nothing listens, nothing is open."""
    assert _build({}, need_keys=False).warnings == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"route_ignore_nginx_config": True}, ["routehttp.conf is not read", "not in force"]),
        ({"route_console_allow": "none"}, ["routehttp.conf is not read"]),
    ],
)
def test_what_is_told(
    nginx: Path, key_options: dict[str, Value], changes: dict[str, Value], says: list[str]
) -> None:
    """A server block that is not read deserves a word, and so does a rule that is given up."""
    warnings = _build({**key_options, **changes}).warnings
    assert len(warnings) == len(says)
    assert all(text in warning for text, warning in zip(says, warnings, strict=True))
