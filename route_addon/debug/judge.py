"""What becomes of recorded flows when mitmproxy loads them (``mitmdump -nr FILE``)."""

import logging
import sys
from collections.abc import Callable

from mitmproxy import addonmanager, ctx, http

from route_addon.carry.evidence import write_evidence
from route_addon.carry.faults import describe_fault
from route_addon.carry.tls.challenge import read_challenge
from route_addon.core.messages import ServeFile
from route_addon.core.router import Router
from route_addon.debug.judgement import judge, recorded_time
from route_addon.debug.recording import read_recorded
from route_addon.debug.replay import DIFFERENT, Comparison, compare

logger = logging.getLogger(__name__)

_MARK = ":twisted_rightwards_arrows:"


class ExitStatus:
    """Lets ``mitmdump -nr`` end with status 1 when there were findings.

    It stands last in mitmproxy's chain, so that everybody else is done.
    """

    name = "route_exit_status"

    def __init__(self) -> None:
        self.has_findings = False
        """Whether a flow was decided otherwise than it was recorded, or could not be judged."""

    def done(self) -> None:
        """End the process."""
        if not ctx.options.server and self.has_findings:
            sys.exit(1)


class Judge:
    """Judges flows that were read from a file; nothing is sent anywhere.

    Args:
        router: The router in force; None while there is none.
    """

    name = "route_judge"

    def __init__(self, router: Callable[[], Router | None]) -> None:
        self._router = router
        self._count = 0
        self._exit_status = ExitStatus()

    def load(self, loader: addonmanager.Loader) -> None:
        """Add who speaks last; after a reload of the script that is who is there already."""
        present = ctx.master.addons.get(ExitStatus.name)
        if isinstance(present, ExitStatus):
            self._exit_status = present
        else:
            ctx.master.addons.add(self._exit_status)

    def request(self, flow: http.HTTPFlow) -> None:
        """Judge a flow, and keep with it what came of that."""
        router = self._router()
        if flow.live or router is None:
            return
        self._count += 1
        try:
            if read_recorded(flow) is None:
                _write_judgement(flow, router)
            else:
                self._report(flow, compare(flow, router))
        except Exception as fault:
            self.fail()
            logger.error("judging failed: %s", describe_fault(fault))

    def fail(self) -> None:
        """Let ``mitmdump -nr`` end with status 1."""
        self._exit_status.has_findings = True

    def _report(self, flow: http.HTTPFlow, comparison: Comparison) -> None:
        for line in comparison.lines(self._count):
            logger.info("%s", line)
        if comparison.verdict == DIFFERENT:
            self.fail()
            flow.marked = _MARK
            flow.comment = comparison.describe()


def _write_judgement(flow: http.HTTPFlow, router: Router) -> None:
    """Of a flow that somebody else has recorded, tell the decision of now."""
    now = recorded_time(flow)
    decision = judge(flow, router, now)
    if isinstance(decision, ServeFile):
        decision = read_challenge(decision)
    write_evidence(flow, decision, now)
    logger.info("judged: %s", flow.comment)
