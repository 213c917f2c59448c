"""One server of a pool while it is in service: its weights, its failures, its health.

Passive health is what requests meet: ``max_fails`` failures within ``fail_timeout``, and the
server is unavailable for as long; then one request tries it, and nobody else does until that one
has succeeded or failed. (nginx lets the next one try after another ``fail_timeout``, even while
the first still waits for its answer: a server that hangs would hold one request each time.)
Active health is what probes meet: ``fall`` bad answers in a row, ``rise`` good ones.
"""

from collections import deque
from typing import Literal

from route_addon.core.pool_config import HealthSpec, ServerSpec

type State = Literal["up", "unavail", "checking", "unhealthy", "down"]
"""nginx's words: ``unavail`` by failed requests, ``unhealthy`` by failed probes, ``down`` by
configuration; ``checking`` while one request tries it again."""


class Member:
    """A server, or one address of a server's name.

    Args:
        spec: Its parameters.
        address: The address, where a name stands for all of its addresses; else empty, and
            whoever connects asks for the host's.
    """

    __slots__ = (
        "_failures",
        "_is_on_trial",
        "_streak",
        "_unavail_until",
        "address",
        "conns",
        "current_weight",
        "effective_weight",
        "fails",
        "is_healthy",
        "next_probe",
        "requests",
        "spec",
        "unavails",
    )

    def __init__(self, spec: ServerSpec, address: str = "") -> None:
        self.spec = spec
        self.address = address
        self.current_weight = 0
        self.effective_weight = spec.weight
        self.conns = 0
        """Requests that are with it."""
        self.requests = 0
        """Requests that it has been given."""
        self.fails = 0
        """Those of them that failed."""
        self.unavails = 0
        """How often it became unavailable."""
        self.is_healthy = True
        self.next_probe = float("-inf")
        """When it is to be asked for its health next."""
        self._streak = 0
        self._failures: deque[float] = deque(maxlen=spec.max_fails)
        self._unavail_until: float | None = None
        self._is_on_trial = False

    def __repr__(self) -> str:
        return f"<{self.name} {self.state}>"

    @property
    def name(self) -> str:
        """What it is called in logs and metrics: ``http://host:port``, with the address."""
        server = self.spec.server
        name = f"{server.scheme.decode()}://{server.host_and_port.decode()}"
        return f"{name} ({self.address})" if self.address else name

    @property
    def state(self) -> State:
        """How it is."""
        if self.spec.is_down:
            return "down"
        if not self.is_healthy:
            return "unhealthy"
        if self._unavail_until is None:
            return "up"
        return "checking" if self._is_on_trial else "unavail"

    @property
    def is_full(self) -> bool:
        """Whether it has as many requests as it may."""
        return 0 < self.spec.max_conns <= self.conns

    def configure(self, spec: ServerSpec) -> None:
        """Take new parameters; what is known of its health stays."""
        if spec != self.spec:
            self.spec = spec
            self.effective_weight = spec.weight
            self._failures = deque(self._failures, maxlen=spec.max_fails)
            if spec.max_fails == 0:
                self._unavail_until = None

    def is_available(self, now: float, *, is_alone: bool) -> bool:
        """Whether it may be given a request, room provided.

        Args:
            now: The time.
            is_alone: Whether the pool has no other: then whatever it has done, it is the best.
        """
        if self.spec.is_down or is_alone:
            return not self.spec.is_down
        if not self.is_healthy:
            return False
        until = self._unavail_until
        return until is None or (until < now and not self._is_on_trial)

    # Requests.

    def take(self) -> bool:
        """Give it a request.

        Returns:
            Whether the request is its trial.
        """
        self.conns += 1
        self.requests += 1
        is_trial = self._unavail_until is not None and not self._is_on_trial
        self._is_on_trial = self._is_on_trial or is_trial
        return is_trial

    def release(self) -> None:
        """A request has left it."""
        self.conns -= 1

    def end_trial(self) -> None:
        """Its trial is over; if it did not recover, another may try."""
        self._is_on_trial = False

    def fail(self, now: float, *, is_alone: bool) -> None:
        """A request has failed on it.

        Args:
            now: The time.
            is_alone: As for ``is_available``: its failures are not held against it.
        """
        self.fails += 1
        spec = self.spec
        if is_alone or spec.max_fails == 0:
            return
        self.effective_weight = max(0, self.effective_weight - spec.weight // spec.max_fails)
        self._failures.append(now)
        if self._unavail_until is None:
            # The deque holds the last max_fails failures: are they within fail_timeout?
            is_many = len(self._failures) == spec.max_fails
            if not is_many or now - self._failures[0] > spec.fail_timeout_s:
                return
            self.unavails += 1
        self._unavail_until = now + spec.fail_timeout_s

    def recover(self) -> None:
        """Its trial has succeeded: nothing is held against it."""
        self._unavail_until = None
        self._failures.clear()

    # Probes.

    def receive_probe(self, health: HealthSpec, status: int | None) -> None:
        """A probe is over.

        Args:
            health: What was asked for.
            status: The answer's status; None when there was no answer.
        """
        is_good = status in health.status
        if is_good == self.is_healthy:
            self._streak = 0
            return
        self._streak += 1
        if self._streak >= (health.rise if is_good else health.fall):
            self.forget_probes()
            self.is_healthy = is_good

    def forget_probes(self) -> None:
        """Nothing is held against it that a probe has seen."""
        self._streak = 0
        self.is_healthy = True
