"""The content of a request and of its answer, as far as their flow may show it."""

from mitmproxy import http

from route_addon.carry.masks.mask import Masked
from route_addon.carry.masks.mask_content import hide_content, reveal_content


class Kept:
    """A copy of content that passes, up to a bound.

    Args:
        max_bytes: The bound.
    """

    def __init__(self, max_bytes: int) -> None:
        self.size = 0
        """How much has passed."""
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._kept_bytes = 0

    @property
    def is_cut(self) -> bool:
        """Whether there was more than is kept."""
        return self.size > self._kept_bytes

    def add(self, pieces: list[bytes]) -> None:
        """Keep what there is room for."""
        for piece in pieces:
            self.size += len(piece)
            room = self._max_bytes - self._kept_bytes
            if room > 0:
                self._pieces.append(piece[:room])
                self._kept_bytes += len(self._pieces[-1])

    def join(self) -> bytes:
        """What is kept."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""


class WatchedContent:
    """What has passed of both, and what the flow shows of it.

    Args:
        masked: What is hidden of the exchange.
        max_bytes: How much is kept of each.
    """

    def __init__(self, masked: Masked, max_bytes: int) -> None:
        self.request = Kept(max_bytes)
        self.answer = Kept(max_bytes)
        self._masked = masked
        self._max_bytes = max_bytes
        self._shown: bytes | None = None
        """What the flow shows of the request's, once it does."""
        self._is_strict = False
        """Whether it may hold secrets that only their names give away."""
        self._is_request_withheld = False
        self._is_answer_withheld = False
        """Whether content could not be read, and so is not kept: it may hold secrets."""

    def look_closer(self, request: http.Request) -> None:
        """From now on names give secrets away, in content as in heads."""
        if not self._is_strict:
            self._is_strict = True
            if self._shown:
                # It was shown when it was to go elsewhere.
                self.show_request(request)

    def show_request(self, request: http.Request) -> None:
        """Show the request's, as far as it may be kept."""
        self._shown = request.data.content = self._hide(self.request, request)
        self._is_request_withheld = self._shown is None

    def show_no_request(self) -> None:
        """The request has none: what the flow says more is an edit."""
        self._shown = b""

    def show_passed(self, request: http.Request) -> None:
        """Show what has passed of the request's, if nothing has been shown yet."""
        if self._shown is None and self.request.size:
            self.show_request(request)

    def hide_answer(self, response: http.Response) -> bytes | None:
        """What may be shown of the answer's, as far as it has come; None where it is withheld.

        Args:
            response: Its head says how to read it.
        """
        hidden = self._hide(self.answer, response)
        self._is_answer_withheld = hidden is None
        return hidden

    def is_request_edited(self, request: http.Request) -> bool:
        """Whether somebody changed what was shown of the request's."""
        if self._shown is None or self.request.is_cut:
            return False
        return (request.data.content or b"") != self._shown

    def is_answer_edited(self, response: http.Response, shown: bytes | None) -> bool:
        """Whether somebody changed what was shown of the answer's."""
        return not self.answer.is_cut and (response.data.content or b"") != (shown or b"")

    def take_request(self, request: http.Request) -> bytes:
        """What somebody has written as the request's; the flow shows what may be kept of it."""
        content = self.reveal(request)
        self.request = Kept(self._max_bytes)
        self.request.add([content])
        self.show_request(request)
        return content

    def reveal(self, message: http.Message) -> bytes:
        """A message's content, with the secrets in their places."""
        data = message.data
        return reveal_content(self._masked, data.content or b"", data.headers.fields)

    def sum_up(self) -> dict[str, object]:
        """What a flow's evidence says of it."""
        return {
            "request_bytes": self.request.size,
            "answer_bytes": self.answer.size,
            "request_cut": self.request.is_cut,
            "answer_cut": self.answer.is_cut,
            "request_withheld": self._is_request_withheld,
            "answer_withheld": self._is_answer_withheld,
        }

    def _hide(self, kept: Kept, message: http.Message) -> bytes | None:
        return hide_content(
            self._masked,
            kept.join(),
            message.data.headers.fields,
            is_strict=self._is_strict,
            is_cut=kept.is_cut,
        )
