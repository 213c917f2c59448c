"""A decision as plain data: what a recording keeps of it, and how two of them differ.

Text is ISO 8859-1 of the bytes on the wire, so that every byte has its place in it. Whoever makes
one of a live decision has put placeholders in the place of its secrets.
"""

from typing import Any, Final, NamedTuple, Self

from route_addon.core.messages import Decision, Fields, Forward, Respond, ServeFile

VERSION: Final = 1
"""Goes up when an old recording can no longer be compared with a decision of today."""

_MAX_PORT: Final = 65535

type TextField = tuple[str, str]


class BadRecord(ValueError):
    """Plain data that is no decision of ours."""


class Difference(NamedTuple):
    """One thing in which two decisions differ; None where one of them has no such thing."""

    name: str
    recorded: str | None
    anew: str | None


class Recorded(NamedTuple):
    """What counts of a decision when it is made again."""

    kind: str
    """``forward``, ``websocket``, ``answer``, ``file`` or ``verify``."""
    location: str | None = None
    token_source: str | None = None
    upstream: str | None = None
    target: str | None = None
    """The server's host; a pod's may be an alias."""
    port: int | None = None
    path: str | None = None
    host: str | None = None
    """The Host field sent."""
    status: int | None = None
    slug: str | None = None
    fields: tuple[TextField, ...] = ()
    """Those sent upstream, or those of an answer of ours."""

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """The record of a decision."""
        if isinstance(decision, Forward):
            return cls._of_forward(decision)
        if isinstance(decision, Respond):
            slug = decision.error.slug if decision.error is not None else None
            return cls(
                "answer",
                decision.location.location if decision.location is not None else None,
                decision.token_source,
                status=decision.status,
                slug=slug,
                fields=_text_fields(decision.fields),
            )
        kind = "file" if isinstance(decision, ServeFile) else "verify"
        return cls(kind, decision.location.location)

    @classmethod
    def _of_forward(cls, forward: Forward) -> Self:
        return cls(
            "websocket" if forward.is_websocket else "forward",
            forward.location.location,
            forward.token_source,
            forward.upstream,
            forward.server.host,
            forward.server.port,
            forward.path.decode("latin-1"),
            forward.host.decode("latin-1"),
            fields=_text_fields(forward.fields),
        )

    @classmethod
    def read(cls, plain: object) -> Self:
        """The record that plain data holds.

        Args:
            plain: As ``to_plain`` made it, or anything at all.

        Raises:
            BadRecord: It is none, or of another version.
        """
        if not isinstance(plain, dict):
            raise BadRecord("is no table")
        if plain.get("version") != VERSION:
            raise BadRecord(f"is not of version {VERSION}, which is the one that is known here")
        known = {name: value for name, value in plain.items() if name != "version"}
        if known.keys() != set(cls._fields):
            raise BadRecord("does not have the members of a decision")
        fields = _read_fields(known.pop("fields"))
        for name, value in known.items():
            _check_member(name, value)
        return cls(**known, fields=fields)

    def to_plain(self) -> dict[str, Any]:
        """Plain data, for a flow's metadata."""
        fields = [list(field) for field in self.fields]
        return {"version": VERSION, **self._asdict(), "fields": fields}

    def with_alias(self, alias: str) -> Self:
        """The same decision with another name for its server."""
        if self.target is None or self.port is None:
            return self
        is_named = self.host == _address(self.target, self.port)
        host = _address(alias, self.port) if is_named else self.host
        return self._replace(target=alias, host=host)

    def describe(self) -> str:
        """One line for a person."""
        where = self.location or "no location"
        if self.target is not None and self.port is not None:
            return f"{where} -> {self.upstream} {_address(self.target, self.port)}"
        told = " ".join(str(word) for word in (self.status, self.slug) if word is not None)
        return f"{where} = {told or self.kind}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _text_fields(fields: Fields) -> tuple[TextField, ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)


def _read_fields(plain: object) -> tuple[TextField, ...]:
    fields: list[TextField] = []
    for field in plain if isinstance(plain, list) else [None]:
        if not isinstance(field, list) or [type(text) for text in field] != [str, str]:
            raise BadRecord("has fields that are no pairs of text")
        fields.append((field[0], field[1]))
    return tuple(fields)


def _check_member(name: str, value: object) -> None:
    if name in ("port", "status"):
        is_right = value is None or (type(value) is int and 0 <= value <= _MAX_PORT)
    else:
        is_right = isinstance(value, str) or (value is None and name != "kind")
    if not is_right:
        raise BadRecord(f"has a {name} that cannot be")


def find_differences(recorded: Recorded, anew: Recorded) -> list[Difference]:
    """In what two decisions differ: as a whole, or member by member, then field by field.

    As a whole where one goes to an upstream, and the other one does not. The order of fields
    counts for those of one name only (RFC 9110 5.3), and names in any case are the same.
    """
    if (recorded.target is None) != (anew.target is None):
        return [Difference("decision", recorded.describe(), anew.describe())]
    differences = [
        Difference(name, _text(before), _text(after))
        for name, before, after in zip(recorded._fields, recorded, anew, strict=True)
        if name != "fields" and before != after
    ]
    old, new = _by_name(recorded.fields), _by_name(anew.fields)
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name, []), new.get(name, [])
        for index in range(max(len(before), len(after))):
            pair = _at(before, index), _at(after, index)
            if pair[0] != pair[1]:
                differences.append(Difference(f"{name}:", *pair))
    return differences


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _by_name(fields: tuple[TextField, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name.lower(), []).append(value)
    return found


def _at(values: list[str], index: int) -> str | None:
    return values[index] if index < len(values) else None
