"""What a flow keeps of content."""

import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.decompress import compress, decompress
from route_addon.carry.masks import mask, mask_content
from route_addon.carry.masks.mask import Mask, Masked
from route_addon.carry.masks.mask_content import hide_content, reveal_content
from route_addon.core.messages import Field
from tests.minting import mint

TOKEN = mint()
MASK = Mask(b"k" * 32)
ABC = MASK.placeholder(b"abc")
HIDDEN = MASK.placeholder(TOKEN)
JSON: Field = (b"Content-Type", b"application/json")
FORM: Field = (b"content-type", b"Application/X-WWW-Form-Urlencoded; charset=utf-8")
HTML: Field = (b"Content-Type", b"text/html")
PNG: Field = (b"Content-Type", b"image/png")


def hide(content: bytes, *fields: Field, is_strict: bool = True, is_cut: bool = False) -> bytes:
    """What is kept of content; it must come back whole."""
    masked = Masked(MASK)
    hidden = hide_content(masked, content, fields, is_strict=is_strict, is_cut=is_cut)
    if hidden is None:
        return b"(nothing)"
    assert reveal_content(masked, hidden, fields) == content
    return hidden


@pytest.mark.parametrize(
    ("content", "fields", "expected"),
    [
        pytest.param(b"", [JSON], b"", id="nothing"),
        pytest.param(b'{"password":"abc"}', [JSON], b'{"password":"%b"}' % ABC, id="JSON"),
        pytest.param(
            b'{"password":"abc"}', [FORM], b'{"password":"%b"}' % ABC, id="JSON by another name"
        ),
        pytest.param(
            b'{"password":"abc"}', [], b'{"password":"%b"}' % ABC, id="JSON without a name"
        ),
        pytest.param(b'{"password":"abc"', [JSON], b"(nothing)", id="broken JSON"),
        pytest.param(b'{"user":"abc"', [JSON], b'{"user":"abc"', id="broken, no secret"),
        pytest.param(b'\xef\xbb\xbf{"token":"abc"}', [JSON], b"(nothing)", id="with a mark"),
        pytest.param('{"token":"abc"}'.encode("utf-16"), [JSON], b"(nothing)", id="UTF-16"),
        pytest.param('{"to":"abc"}'.encode("utf-16-le"), [JSON], b"(nothing)", id="with NULs"),
        pytest.param(
            b"user=a&password=abc&code=abc&b",
            [FORM],
            b"user=a&password=%b&code=%b&b" % (ABC, ABC),
            id="a form",
        ),
        pytest.param(b"pass%77ord=abc", [FORM], b"pass%%77ord=%b" % ABC, id="an escaped name"),
        pytest.param(
            b"a=1;password=abc",
            [FORM],
            b"a=" + MASK.placeholder(b"1;password=abc"),
            id="a form with semicolons",
        ),
        pytest.param(
            b"a=%b&%b" % (TOKEN, TOKEN), [FORM], b"a=%b&%b" % (HIDDEN, HIDDEN), id="tokens"
        ),
        pytest.param(
            b"a=" + quote('{"password":"abc"}').encode(),
            [FORM],
            b"a=" + MASK.placeholder(quote('{"password":"abc"}').encode()),
            id="JSON in a form",
        ),
        pytest.param(
            b"a=http%3A%2F%2Fx%2F%3Fstate%3Dabc",
            [FORM],
            b"a=http%%3A%%2F%%2Fx%%2F%%3Fstate%%3D%b" % ABC,
            id="a URL in a form",
        ),
        pytest.param(b"<p>hello</p>", [HTML], b"<p>hello</p>", id="a page"),
        pytest.param(
            b'<a href="/?a&amp;code=abc">',
            [HTML],
            b'<a href="/?a&amp;code=%b' % MASK.placeholder(b'abc">'),
            id="a page with a link",
        ),
        pytest.param(b"<input name='password' value=abc>", [HTML], b"(nothing)", id="with a form"),
        pytest.param(
            b"--x\r\nContent-Disposition: form-data; name=password\r\n\r\nabc",
            [(b"Content-Type", b"multipart/form-data; boundary=x")],
            b"(nothing)",
            id="several parts",
        ),
        pytest.param(b"\x89PNG token \xff\0", [PNG], b"\x89PNG token \xff\0", id="a picture"),
        pytest.param(
            b'{"password":"abc"}', [PNG], b'{"password":"%b"}' % ABC, id="JSON as a picture"
        ),
        pytest.param(b"\x89\xff\0", [], b"(nothing)", id="what is no text"),
    ],
)
def test_where_pyos_is_spoken_to(content: bytes, fields: list[Field], expected: bytes) -> None:
    """Secrets are hidden by their names; what may hold one and cannot be read is not kept."""
    assert hide(content, *fields) == expected


PART = st.sampled_from(
    [
        *("user", "Token", "pass", "word", "st", "ate", "code", "=", "?", "&", "%3d", "%253D"),
        *("\u017ftate", "{", '"', ":", "\\", "u0063ode", "%63ode", TOKEN.decode(), "", "x"),
    ]
)
TEXT = st.lists(PART, max_size=5).map("".join)
TREE = st.recursive(
    TEXT | st.integers(0, 9) | TEXT.map(lambda text: json.dumps({text: "x"})),
    lambda tree: st.lists(tree, max_size=3) | st.dictionaries(TEXT, tree, max_size=3),
    max_leaves=6,
)


@given(
    TREE.map(json.dumps)
    | TREE.map(lambda tree: json.dumps(tree, ensure_ascii=False))
    | st.lists(st.tuples(TEXT, TEXT), min_size=1).map(urlencode)
    | TEXT
)
def test_quick_look_spares_only_what_holds_no_secret(text: str) -> None:
    """What is kept is the same where all is searched."""
    for field in (JSON, FORM):
        kept = hide(text.encode(), field)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mask_content, "may_hold_secret", lambda text: True)
            patch.setattr(mask, "may_hold_secret", lambda text: True)
            searched = hide(text.encode(), field)
        assert kept == searched


@pytest.mark.parametrize(
    ("content", "field"),
    [
        pytest.param(b"[%b]" % b",".join([b'"a"'] * 20_001), JSON, id="JSON"),
        pytest.param(b"&".join([b"a=b"] * 10_002), FORM, id="a form"),
    ],
)
def test_too_many_parts(content: bytes, field: Field) -> None:
    """They are not read: they are kept if no secret is named among them."""
    assert hide(content, field) == content
    assert hide(content.replace(b"a", b"token", 1), field) == b"(nothing)"


@pytest.mark.parametrize(
    ("content", "fields", "expected"),
    [
        pytest.param(b'{"password":"abc"}', [JSON], b'{"password":"abc"}', id="names say nothing"),
        pytest.param(b'{"a":"%b"}' % TOKEN, [JSON], b'{"a":"%b"}' % HIDDEN, id="a token"),
        pytest.param(
            b"\xff\0%b\0" % TOKEN, [PNG], b"\xff\0%b\0" % HIDDEN, id="a token in any bytes"
        ),
        pytest.param(b"\xff\0", [], b"\xff\0", id="any bytes"),
        pytest.param(TOKEN.decode().encode("utf-16"), [], b"(nothing)", id="a token in UTF-16"),
        pytest.param(
            f"x{TOKEN.decode()}".encode("utf-16-be"), [], b"(nothing)", id="the other way round"
        ),
        pytest.param("eyJ".encode("utf-16"), [], "eyJ".encode("utf-16"), id="and no token"),
    ],
)
def test_elsewhere(content: bytes, fields: list[Field], expected: bytes) -> None:
    """Tokens are hidden, by their shape."""
    assert hide(content, *fields, is_strict=False) == expected


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_compressed(coding: str, is_strict: bool) -> None:
    """It is read, and compressed again when something was hidden."""
    fields = [JSON, (b"Content-Encoding", coding.upper().encode())]
    content = compress(json.dumps({"token": TOKEN.decode(), "a": "b" * 5000}).encode(), coding)
    masked = Masked(MASK)
    hidden = hide_content(masked, content, fields, is_strict=is_strict, is_cut=False)
    assert hidden is not None
    plain = decompress(hidden, coding, 10_000)
    assert plain is not None
    assert json.loads(plain) == {"token": HIDDEN.decode(), "a": "b" * 5000}
    revealed = decompress(reveal_content(masked, hidden, fields), coding, 10_000)
    assert revealed == decompress(content, coding, 10_000)
    plain_content = compress(b'{"a":1}', coding)
    kept = hide_content(masked, plain_content, fields, is_strict=is_strict, is_cut=False)
    assert kept == plain_content


@pytest.mark.parametrize("is_strict", [False, True])
def test_unreadable(is_strict: bool) -> None:
    """Compressed content that was cut, is broken, or unpacks to too much, is not kept."""
    gzip: Field = (b"Content-Encoding", b"gzip")
    content = compress(bytes(2**26), "gzip")
    for part, is_cut in ((content, False), (content[:100], True), (b"no gzip", False)):
        masked = Masked(MASK)
        assert hide_content(masked, part, [gzip], is_strict=is_strict, is_cut=is_cut) is None
    assert reveal_content(Masked(MASK), b"no gzip", [gzip]) == b"no gzip"
    several = [gzip, (b"Content-Encoding", b"br")]
    assert hide_content(Masked(MASK), b"x", several, is_strict=is_strict, is_cut=False) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b'{"user": "abc", "password": "a', b"(nothing)", id="in a secret"),
        pytest.param(b'{"user": "\xc3', b'{"user": "\xc3', id="in a letter"),
        pytest.param(b'["' + TOKEN[:70], b'["' + MASK.placeholder(TOKEN[:70]), id="in a token"),
        pytest.param(b"7", b"7", id="what is JSON though it was cut"),
    ],
)
def test_cut(content: bytes, expected: bytes) -> None:
    """Where pyos is spoken to, content that was cut is kept when it names no secret."""
    assert hide(content, JSON, is_cut=True) == expected
