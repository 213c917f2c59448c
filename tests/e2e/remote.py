"""A script that is loaded beside the router's: it runs what a test sends it, inside mitmproxy."""

import asyncio
import os

from mitmproxy import ctx


class Remote:
    """Listens on a Unix socket; each connection is one piece of code and its outcome."""

    def running(self) -> None:
        path = os.environ["REMOTE_SOCKET"]
        self._listening = asyncio.create_task(asyncio.start_unix_server(self._serve, path))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code = (await reader.read()).decode()
        names: dict[str, object] = {"ctx": ctx}
        try:
            exec(code, names)
            outcome = str(names.get("result", ""))
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        writer.write(outcome.encode())
        await writer.drain()
        writer.close()


addons = [Remote()]
