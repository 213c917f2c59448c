"""Request target -> canonical path (RFC 3986 6.2.2, 5.2.4; RFC 9112 3.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.errors import BadTarget
from route_addon.core.path import Target, parse_target


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        pytest.param(b"/", b"/", None, id="the root"),
        pytest.param(b"/filer/x", b"/filer/x", None, id="canonical already"),
        pytest.param(b"/x?", b"/x", b"", id="an empty query is kept"),
        pytest.param(b"/x?a=1&b=%zz%00", b"/x", b"a=1&b=%zz%00", id="a query is never checked"),
        pytest.param(b"/x?a=/../b//c", b"/x", b"a=/../b//c", id="a query is never rewritten"),
        pytest.param(b"/x?y?z", b"/x", b"y?z", id="the first question mark counts"),
        pytest.param(b"/%41%7e%2D", b"/A~-", None, id="escaped unreserved characters are decoded"),
        pytest.param(b"/%2e%2E/x", None, None, id="an escaped dot is a dot: above the root"),
        pytest.param(b"/a/%2e%2E/x", b"/x", None, id="an escaped dot is a dot: one up"),
        pytest.param(b"/a%2Fb%2fc", b"/a%2Fb%2fc", None, id="an escaped slash stays as sent"),
        pytest.param(b"/a/..%2fb", b"/a/..%2fb", None, id="dots beside an escaped slash are data"),
        pytest.param(b"/a%20%c3%a9%5C%25", b"/a%20%c3%a9%5C%25", None, id="other escapes stay"),
        pytest.param(b"/%2%35", None, None, id="an escape is not put together from two"),
        pytest.param(b"/%25%32%65", b"/%252e", None, id="nothing is decoded twice"),
        pytest.param(b"//a///b", b"/a/b", None, id="slashes are merged"),
        pytest.param(b"//evil/x", b"/evil/x", None, id="two slashes at the start name no host"),
        pytest.param(b"/a/./b", b"/a/b", None, id="a dot segment goes"),
        pytest.param(b"/a/b/../c", b"/a/c", None, id="a double dot takes one segment along"),
        pytest.param(b"/a//../b", b"/b", None, id="slashes are merged before dots count"),
        pytest.param(b"/a/.", b"/a/", None, id="a final dot names a folder"),
        pytest.param(b"/a/b/..", b"/a/", None, id="a final double dot names a folder"),
        pytest.param(b"/a/..", b"/", None, id="up to the root"),
        pytest.param(b"/.", b"/", None, id="a dot at the root"),
        pytest.param(b"/...", b"/...", None, id="three dots are a name"),
        pytest.param(b"/.a/..b/c..", b"/.a/..b/c..", None, id="dots in a name stay"),
        pytest.param(b"/a/", b"/a/", None, id="a final slash stays"),
        pytest.param(b"/a//", b"/a/", None, id="final slashes are merged"),
        pytest.param(b"/a#b", b"/a", None, id="a fragment is dropped"),
        pytest.param(b"/a?b#c?d", b"/a", b"b", id="a fragment behind a query is dropped"),
        pytest.param(b"/a#%zz", b"/a", None, id="escapes in a fragment are not checked"),
        pytest.param(b'/a|"<\\^`{}\xff', b'/a|"<\\^`{}\xff', None, id="odd bytes pass"),
        pytest.param(b"/a;b=../c", b"/a;b=../c", None, id="a semicolon means nothing"),
        pytest.param(b"/A/a", b"/A/a", None, id="case stays"),
    ],
)
def test_origin_form(target: bytes, path: bytes | None, query: bytes | None) -> None:
    """An origin-form target has one canonical path, or none at all."""
    if path is None:
        with pytest.raises(BadTarget):
            parse_target(target)
    else:
        assert Target(path, query, None) == parse_target(target)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(b"http://h/x?y", Target(b"/x", b"y", b"h"), id="with path and query"),
        pytest.param(b"HTTPS://H:1/", Target(b"/", None, b"H:1"), id="scheme in any case"),
        pytest.param(b"http://h", Target(b"/", None, b"h"), id="no path is the root"),
        pytest.param(b"http://h?x", Target(b"/", b"x", b"h"), id="no path but a query"),
        pytest.param(b"http://h#x", Target(b"/", None, b"h"), id="no path but a fragment"),
        pytest.param(b"http:///x", Target(b"/x", None, b""), id="an empty authority is one"),
        pytest.param(b"http://u@h/", Target(b"/", None, b"u@h"), id="user information stays"),
        pytest.param(b"http://h//a/../%41", Target(b"/A", None, b"h"), id="the path is canonical"),
    ],
)
def test_absolute_form(target: bytes, expected: Target) -> None:
    """An absolute-form target is taken apart; its authority is somebody else's to check."""
    assert expected == parse_target(target)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"*", id="asterisk-form"),
        pytest.param(b"h:443", id="authority-form"),
        pytest.param(b"x/y", id="no slash at the start"),
        pytest.param(b"?x", id="a query alone"),
        pytest.param(b"#x", id="a fragment alone"),
        pytest.param(b"ftp://h/", id="another scheme"),
        pytest.param(b"http:/h/", id="one slash behind the scheme"),
        pytest.param(b"/%", id="a lone percent sign"),
        pytest.param(b"/%2", id="an escape cut short"),
        pytest.param(b"/%zz", id="an escape without hex digits"),
        pytest.param(b"/%u0041", id="an escape of another kind"),
        pytest.param(b"/%00", id="an escaped NUL"),
        pytest.param(b"http://h/%00", id="an escaped NUL in absolute-form"),
        pytest.param(b"/..", id="above the root"),
        pytest.param(b"/a/../..", id="above the root by a detour"),
        pytest.param(b"/../a", id="above the root and down again"),
        pytest.param(b"/%2e./a", id="above the root in disguise"),
        pytest.param(b"/a b", id="a space"),
        pytest.param(b"/a\tb", id="a tab"),
        pytest.param(b"/a\x00", id="a NUL"),
        pytest.param(b"/a\r\nb", id="a line break"),
        pytest.param(b"/\x7f", id="a DEL"),
        pytest.param(b"/a?b c", id="a space in the query"),
        pytest.param(b"/a?b\x00", id="a NUL in the query"),
        pytest.param(b"/a?\x7f", id="a DEL in the query"),
        pytest.param(b"/a#\n", id="a line break in the fragment"),
        pytest.param(b"http://h\x01/", id="a control byte in the authority"),
    ],
)
def test_never_accepts(target: bytes) -> None:
    """A target without one sure meaning is refused."""
    with pytest.raises(BadTarget):
        parse_target(target)


_PIECES = st.sampled_from(
    [
        b"/",
        b"//",
        b".",
        b"..",
        b"%2e",
        b"%2F",
        b"%41",
        b"%25",
        b"a",
        b"?",
        b"#",
        b"%",
        b"\xff",
        b" ",
    ]
)
_TARGETS = st.binary(max_size=40) | st.lists(_PIECES, max_size=12).map(
    lambda some: b"/" + b"".join(some)
)


@given(_TARGETS)
def test_any_bytes_give_a_target_or_a_route_error(target: bytes) -> None:
    """What is accepted is canonical, and making it canonical again changes nothing."""
    try:
        parsed = parse_target(target)
    except BadTarget:
        return
    path, query, _ = parsed
    assert path.startswith(b"/")
    assert b"//" not in path
    assert not {b".", b".."} & set(path.split(b"/"))
    assert not set(path + (query or b"")) & {*range(0x21), 0x7F, ord("#")}
    again = path if query is None else path + b"?" + query
    assert Target(path, query, None) == parse_target(again)
