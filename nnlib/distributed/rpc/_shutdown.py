"""The end that all workers come to together: when nobody has anything left to do for anybody.

Note [When all work is done]
A worker that has nothing to do may get a message any moment, so the first worker asks all of them, in waves:
are you idle, how many messages have you sent and taken in? When two waves in a row find all idle and the same
numbers, as many sent as taken in, nothing happened between them and nothing is on its way (Mattern, "Algorithms
for distributed termination detection", 1987).
"""

import threading
import time

from .._errors import DistBackendError, DistTimeoutError

LEADER = 0
WAVE_SECONDS = 2e-3


class Shutdown:
    """A worker's part in the common end. The messages are taken in by the agent's thread."""

    KINDS = ("arrived", "ask", "state", "done", "closing")

    def __init__(self, agent):
        self._agent = agent
        self._arrived = set()
        self._states, self._last, self._wave = {}, None, 0
        self._next_wave = 0.0
        self._begun = False
        self.over = threading.Event()

    def wait(self, seconds):
        """Says that this worker has come, and waits for the end of all work; 0 seconds for without limit."""
        agent = self._agent
        agent.tell(LEADER, "arrived")
        self._begun = True
        end = time.monotonic() + seconds if seconds else None
        while not self.over.wait(0.05):
            reason = agent.broken or next(iter(agent.gone.values()), None)
            if reason is not None:
                raise DistBackendError(f"shutdown of {agent.me.name} cannot wait for all work: {reason}")
            if end is not None and time.monotonic() > end:
                raise DistTimeoutError(
                    f"shutdown of {agent.me.name} waited for {seconds:g} s: {self._missing()}"
                )

    def _missing(self):
        agent = self._agent
        if agent.me.id != LEADER:
            return f"{agent.workers[LEADER].name} has not said that all workers are done"
        late = [w.name for w in agent.workers if w.id not in self._arrived]
        if late:
            return f"{', '.join(late)} did not call shutdown"
        busy = [agent.workers[r].name for r, (idle, *_) in sorted(self._states.items()) if not idle]
        return f"{', '.join(busy) or 'messages'} still had work to do"

    def step(self):
        """The leader's next wave, when it is time for one; True when it was sent."""
        agent = self._agent
        if (
            agent.me.id != LEADER or not self._begun or self.over.is_set()
            or len(self._arrived) < len(agent.workers) or time.monotonic() < self._next_wave
        ):  # fmt: skip
            return False
        if self._wave and len(self._states) < len(agent.workers):
            return False
        states = sorted(self._states.items())
        quiet = bool(states) and all(idle for _, (idle, *_) in states)
        sent, received = (sum(state[i] for _, state in states) for i in (1, 2))
        done = quiet and sent == received and states == self._last
        self._last = states if quiet else None
        self._states = {}
        self._wave += 1
        self._next_wave = time.monotonic() + WAVE_SECONDS
        for worker in agent.workers:
            agent.tell(worker.id, "done" if done else "ask", (self._wave,))
        return True

    def take(self, source, kind, facts):
        """A message about the end has come."""
        agent = self._agent
        if kind == "arrived":
            self._arrived.add(source)
        elif kind == "ask":
            agent.tell(source, "state", (*facts, agent.idle(), agent.sent, agent.received))
        elif kind == "state" and facts[0] == self._wave:
            self._states[source] = facts[1:]
        elif kind == "done":
            self.over.set()
        elif kind == "closing":
            agent.lose(source, f"{agent.workers[source].name} has called shutdown(graceful=False)")
