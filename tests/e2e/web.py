"""mitmweb, as its own page asks it."""

import http.client
import json
from collections.abc import Mapping
from typing import Any

from tests.e2e.wire import PATIENCE_S, wait_until

PASSWORD = "a password of the tests"


class Web:
    """mitmweb's own interface.

    Args:
        port: Its port.
        password: What whoever calls it takes for its password.
    """

    def __init__(self, port: int, password: str = PASSWORD) -> None:
        self.port = port
        self._password = password

    def call(self, method: str, path: str, data: object = None) -> Any:
        """Call it; what it answers."""
        body = json.dumps(data).encode() if data else b""
        text = self.read(path, method, body)
        return json.loads(text) if text else None

    def read(self, path: str, method: str = "GET", body: bytes = b"") -> bytes:
        """What is there, byte for byte."""
        status, text = self._ask(method, path, body, {"Content-Type": "application/json"})
        assert status < 300, (method, path, status, text)
        return text

    def _ask(
        self, method: str, path: str, body: bytes, fields: Mapping[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {
            "Authorization": f"Bearer {self._password}",
            # Tornado wants to see the same in both.
            "Cookie": "_mitmproxy_xsrf=abcd",
            "X-XSRFToken": "abcd",
            **fields,
        }
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload(self, name: str, content: bytes) -> tuple[int, str]:
        """Open a file as its dialog does.

        Args:
            name: What it is called.
            content: What is in it.

        Returns:
            The status and the text of its answer.
        """
        head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        fields = {"Content-Type": "multipart/form-data; boundary=x"}
        body = head.encode() + content + b"\r\n--x--\r\n"
        status, text = self._ask("POST", "/flows/dump", body, fields)
        return status, text.decode()

    def run(self, command: str, *arguments: str) -> object:
        """Run one of mitmproxy's commands; what it returns."""
        answer = self.call("POST", f"/commands/{command}", {"arguments": arguments})
        assert "error" not in answer, answer
        return answer["value"]

    def find(self, path: str) -> dict[str, Any] | None:
        """The flow with this path."""
        flows: list[dict[str, Any]] = self.call("GET", "/flows")
        return next((flow for flow in flows if path in flow["request"]["path"]), None)

    def wait_for_intercepted(self, path: str, *, has_answer: bool = False) -> str:
        """Wait until the flow with this path is held.

        Returns:
            Its identifier.
        """
        found: dict[str, Any] = {}

        def is_held() -> bool:
            flow = self.find(path)
            if flow is None or not flow["intercepted"] or ("response" in flow) != has_answer:
                return False
            found.update(flow)
            return True

        wait_until(is_held, f"{path} is held")
        return str(found["id"])
