"""A script that is loaded beside the router's: it explains each flow of a recording."""

from mitmproxy import ctx, http


class ExplainAll:
    """Prints explanations."""

    def request(self, flow: http.HTTPFlow) -> None:
        print(*ctx.master.commands.call("route.explain", flow), sep="\n", flush=True)


addons = [ExplainAll()]
