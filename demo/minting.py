"""A script of the demo's router: mints tokens anew for requests that are sent again.

Without it the router knows the tokens that it has verified, for as long as it remembers them; and
pyos alone can make others. In the demo the keys of pyos are at hand.
"""

import re
import time
from pathlib import Path
from typing import Any

from mitmproxy import addonmanager, ctx

from demo import keys, tokens
from demo.pods import addresses

_ALIAS = re.compile(r"pod-([0-9]+)")
OPTION = "demo_keys"


def load(loader: addonmanager.Loader) -> None:
    """Register the folder of the keys, and offer tokens to the replay.

    It was loaded before, and asks for them by a pod's address.
    """
    loader.add_option(OPTION, str, "", "The folder of the demo's keys.")
    chain: Any = ctx.master.addons
    chain.get("route_client_replay").mint = mint


def mint(host: str) -> bytes | None:
    """A fresh token for one of the demo's pods.

    Args:
        host: The pod's address, or its alias in a recording.
    """
    pods = addresses()
    alias = _ALIAS.fullmatch(host)
    if alias is not None and 0 < int(alias[1]) <= len(pods):
        host = pods[int(alias[1]) - 1]
    if host not in pods:
        return None
    folder = Path(getattr(ctx.options, OPTION))
    return tokens.mint(
        host,
        signing_private=keys.private_path(folder, "signing").read_bytes(),
        payload_public=keys.public_path(folder, "payload").read_bytes(),
        now=time.time(),
        life_s=tokens.DEFAULT_LIFE_S,
    ).encode("ascii")
