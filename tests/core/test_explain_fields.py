"""What became of the client's fields."""

from collections.abc import Sequence

import pytest

from route_addon.core.explain_fields import compare_fields
from route_addon.core.messages import Field, Fields


class Censor:
    """Hides every value that says so."""

    def hide_target(self, target: bytes) -> bytes:
        """The target without secrets."""
        return target.replace(b"secret", b"***")

    def hide_fields(self, fields: Fields) -> list[Field]:
        """Placeholders for secrets."""
        return [(self.hide_target(name), self.hide_target(value)) for name, value in fields]


def compare(client: Sequence[Field], sent: Sequence[Field]) -> list[str]:
    """How they differ."""
    return list(compare_fields(client, sent, Censor()))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"Keep-Alive", "belongs to the client's connection"),
        (b"X-Forwarded-Host", "is ours to say"),
        (b"Cookie", "the token is not the pod's"),
        (b"Forwarded", "does not come from a trusted proxy"),
        (b"Referer", "its URL holds a token"),
        (b"X-Own", "the Connection field names it"),
        (b"Authorization", "the Connection field names it"),
        (b"Expect", "is written anew"),
        (b"X_Real_IP", "its name holds more than letters, digits and -"),
    ],
)
def test_dropped(name: bytes, reason: str) -> None:
    """A field that is not sent is told with the reason."""
    assert compare([(name, b"a secret")], []) == [f"dropped {name.decode()}: a ***: {reason}"]


def test_added_and_changed() -> None:
    """What is ours is told, and what stood there before, whatever the case of its name."""
    client = [(b"host", b"desk"), (b"Accept", b"*/*"), (b"X-Forwarded-For", b"1, secret")]
    client.append((b"x-forwarded-for", b"2"))
    sent = [(b"Host", b"pod:80"), (b"Accept", b"*/*"), (b"X-Forwarded-For", b"2")]
    sent += [(b"X-Real-IP", b"2")]
    assert compare(client, sent) == [
        "changed Host: pod:80; it was desk",
        "changed X-Forwarded-For: 2; it was 1, *** and 2",
        "added X-Real-IP: 2",
    ]


def test_repeated() -> None:
    """Each line stands for one: of three, the one that went is told."""
    line = (b"X-A", b"1")
    assert compare([line, line], [line]) == ["dropped X-A: 1: the Connection field names it"]
    assert compare([line, line], [line, line]) == []


def test_a_secret_for_a_name() -> None:
    """What should be a value, and stands in the place of a name, is hidden too."""
    assert compare([], [(b"secret", b"1")]) == ["added ***: 1"]


def test_a_strangers_fields() -> None:
    """They stay on their lines."""
    assert compare([(b"x\nb", b"\x1b")], []) == [
        "dropped x\\nb: \\x1b: its name holds more than letters, digits and -"
    ]
