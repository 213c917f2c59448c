"""Log records hold no token, whoever writes them."""

import logging
from collections.abc import Iterator

import pytest

from route_addon.carry.masks.log_records import RedactedRecord, hide_tokens_in_logs
from tests.minting import mint

TOKEN = mint().decode()

logger = logging.getLogger(__name__)


@pytest.fixture
def hidden() -> Iterator[None]:
    """Hide tokens, for the time of a test."""
    before = logging.getLogRecordFactory()
    hide_tokens_in_logs()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("hidden")
@pytest.mark.parametrize(
    ("message", "values"),
    [
        pytest.param(f"GET /websockify?{TOKEN}", (), id="in the message"),
        pytest.param("cut: %r", (f"/websockify?{TOKEN}".encode(),), id="in a value"),
        pytest.param("%s", (f"jwt_token={TOKEN[:20]}",), id="an argument, cut"),
        pytest.param("\udcff%s", (TOKEN,), id="beside a byte that is no text"),
    ],
)
def test_a_message(
    message: str, values: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A placeholder stands in a token's place, the rest as it was."""
    logger.warning(message, *values)
    assert TOKEN[:20] not in caplog.text
    assert "[token]" in caplog.text


@pytest.mark.usefixtures("hidden")
def test_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    """A stack trace is told without the tokens in it, and by every handler alike."""
    try:
        raise ValueError(TOKEN)
    except ValueError:
        logger.exception("failed: %d", 7)
    assert TOKEN not in caplog.text
    assert "failed: 7\nTraceback" in caplog.records[0].getMessage()
    assert "ValueError: [token]" in caplog.records[0].getMessage()
    assert caplog.records[0].exc_info is None


@pytest.mark.usefixtures("hidden")
def test_secret_arguments(caplog: pytest.LogCaptureFixture) -> None:
    """Those of OAuth are no tokens by their shape."""
    logger.warning("GET /oauth?code=%s&b=1 from %s", "4/0Ab", "http://h/?state=xyz")
    assert caplog.messages == ["GET /oauth?code=[secret]&b=1 from http://h/?state=[secret]"]


@pytest.mark.usefixtures("hidden")
def test_mitmwebs_own_address(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever starts mitmweb opens it by the address that it prints; a token of ours is hidden."""
    caplog.set_level(logging.INFO)
    printed = logging.getLogger("mitmproxy.tools.web.master")
    printed.info("Web server listening at http://127.0.0.1:8081/?token=5f0c")
    printed.info("Web server listening at http://127.0.0.1:8081/?token=%s", TOKEN)
    address = "Web server listening at http://127.0.0.1:8081/?token="
    assert caplog.messages == [f"{address}5f0c", f"{address}[token]"]


def test_a_message_without_a_token() -> None:
    """Nothing else is changed."""
    record = RedactedRecord("x", logging.INFO, __file__, 1, "%s of %d", ("a.b.c", 3), None)
    assert record.getMessage() == "a.b.c of 3"
