"""This process among the processes of the job: MPI itself, news from other ranks, and the way out.

Note [Leaving a job]
MPI_Finalize waits for every rank. A rank that meets it while others wait in a collective hangs the job, and
so does a rank that has raised. So leaving has an owner: an exit hook, run before mpi4py's finalizer, that
ends the communication threads and says goodbye to all other ranks, with the reason if there is one. A rank
that waits for someone who has said goodbye raises at once. When all goodbyes are in, MPI may be finalized;
when some stay away past the deadline, or transfers were left in the air, the hook says who and why and ends
the whole job. A rank that is gone without a goodbye is reported by the warden of its node (_warden.py).
"""

import atexit
import contextlib
import os
import re
import signal
import sys
import threading
import time

from ._launcher import INSTALL, check_library, fit_shared_memory
from ._nodes import pretended_node
from ._watch import Watch

FAREWELL_SECONDS = 3.0  # how long a failing rank gives the others to notice and leave by themselves
_runtime = None


def mpi_module():
    """mpi4py's MPI, initialized; says what to install where it is absent."""
    try:
        import mpi4py

        ours = "mpi4py.MPI" not in sys.modules and mpi4py.rc.initialize
        if (
            ours
        ):  # the library is looked at before it meets a launcher that it does not know: MPICH would abort
            mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
        from mpi4py import MPI
    except ImportError as error:
        raise RuntimeError(f"{INSTALL} ({error})") from error
    except RuntimeError as error:
        raise RuntimeError(f"mpi4py is installed but found no MPI library: {error}. {INSTALL}") from error
    if ours:
        check_library(library_name(MPI))
        fit_shared_memory(library_name(MPI))
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
    return MPI


def library_name(MPI):
    """The first line of what the MPI library says of itself."""
    return " ".join(MPI.Get_library_version().strip("\0\n ").split("\n")[0].split())


def is_mpi4py_installed():
    """True when mpi4py can be found; does not load MPI."""
    import importlib.util

    return importlib.util.find_spec("mpi4py") is not None


def runtime():
    """The one Runtime of this process, made on first use."""
    global _runtime
    if _runtime is None:
        _runtime = Runtime(mpi_module())
    return _runtime


def say(message):
    """A line on the error stream, written at once: lines of several ranks do not mix."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"nnlib.distributed: {message}\n")
        sys.stderr.flush()


class Runtime:
    """The world communicator, its control channel, and what other ranks have announced on it."""

    def __init__(self, MPI):
        self.MPI = MPI
        if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            raise RuntimeError(
                "MPI was initialized without MPI_THREAD_MULTIPLE, which the communication threads need; "
                "leave mpi4py.rc.thread_level at 'multiple' and use an MPI library that was built with it"
            )
        self.world = MPI.COMM_WORLD
        self.rank, self.size = self.world.rank, self.world.size
        self.control = self.world.Dup()
        self.pretended_node = pretended_node(self.world, MPI)
        self.node = self.world.Split_type(MPI.COMM_TYPE_SHARED)
        self._forget_names()
        self.departed = {}  # rank -> (when it was heard, reason or None)
        self.lost = set()  # of these, the ones that are gone without a goodbye
        self.troubles = {}  # number of a group -> (when it was heard, what a rank reported)
        self.servers = []  # (group name, queue, thread, transport)
        self.failure = None
        self.farewell_timeout = 1800.0
        self._lock = threading.Lock()
        self._sent = []
        self._divided = False
        self._process = os.getpid()
        self._watch = Watch(self.node, self.rank, MPI)
        self._excepthook, sys.excepthook = sys.excepthook, self._on_exception
        atexit.register(self.leave)

    def _forget_names(self):
        """Takes the names off MPI's own shared memory: it would stay in /dev/shm when a job is killed."""
        self.world.Barrier()  # all ranks of the node have it mapped
        with contextlib.suppress(OSError):
            with open("/proc/self/maps") as maps:
                names = set(re.findall(r"/dev/shm/(?:mpich_shm_|sm_segment\.)\S+", maps.read()))
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # another rank was quicker
                    os.unlink(name)

    def divide_cores_once(self, divide):
        """The first time: divide(masks of the node's ranks, rank, get_num_threads, set_num_threads)."""
        if self._divided:
            return
        self._divided = True
        from .. import get_num_threads, set_num_threads

        masks = self.node.allgather(os.sched_getaffinity(0))
        divide(masks, self.rank, get_num_threads, set_num_threads)

    # News between ranks.

    def announce(self, kind, **facts):
        """Sends a message to every other rank without waiting for anyone."""
        message = {"kind": kind, "rank": self.rank, **facts}
        with self._lock:
            for rank in range(self.size):
                if rank != self.rank and rank not in self.lost:
                    self._sent.append(self.control.isend(message, rank))

    def poll(self):
        """Takes in what other ranks have announced, and whom the warden misses."""
        with self._lock:
            while (envelope := self.control.improbe()) is not None:
                self._hear(envelope.recv())
            news = [rank for rank in self._watch.lost() if rank not in self.departed]
            for rank in news:
                self._hear({"kind": "lost", "rank": rank})
        for rank in news:  # other nodes have no other way to know
            self.announce("lost", rank=rank)

    def _hear(self, message):
        now = time.monotonic()
        if message["kind"] == "trouble":
            self.troubles.setdefault(message["group"], (now, message["reason"]))
            return
        if message["kind"] == "lost" and message["rank"] not in self.departed:
            self.lost.add(message["rank"])
        self.departed.setdefault(message["rank"], (now, message.get("reason")))

    def check_lost(self):
        """Ends the job when a rank has been gone without a word for a while: called while nothing else is done."""
        self.poll()
        for rank in sorted(self.lost):
            ago, sentence = self.why_gone(rank)
            if ago > FAREWELL_SECONDS:
                self.end_job(f"{sentence}; rank {self.rank} ends the job")

    # Leaving.

    def _on_exception(self, kind, value, trace):
        text = str(value).strip().split("\n")[0]
        self.failure = f"{kind.__name__}: {text}" if text else kind.__name__
        self._excepthook(kind, value, trace)
        if self.size > 1:
            say(f"rank {self.rank} ends with {self.failure}")

    def leave(self):
        """The exit hook: see Note [Leaving a job]."""
        if os.getpid() != self._process or self.MPI.Is_finalized():
            return
        atexit.unregister(self.leave)
        clean = self._end_threads()
        if not clean and self.failure is None:
            self.failure = "its program ended while transfers were unfinished"
        self._watch.farewell(failed=self.failure is not None)
        self.announce("goodbye", reason=self.failure)
        missing = self._await_goodbyes()
        if missing:
            reason = self.failure or "its program ended"
            self.end_job(f"rank {self.rank} leaves ({reason}), but ranks {missing} do not; ending the job")
        if self.lost:
            self.end_job(f"rank {self.rank} leaves: {self.why_gone(min(self.lost))[1]}")
        if not clean:
            self.end_job(None)

    def _end_threads(self):
        """Lets unfinished work end, or drops it when this rank has failed; True when nothing was dropped."""
        clean = True
        for _, queue, thread, transport in self.servers:
            if self.failure is None and transport.broken is None:
                queue.drain(self.farewell_timeout)
            queue.close(f"rank {self.rank} is leaving the job")
            thread.join(2.0)
            clean = clean and not thread.is_alive() and transport.broken is None
        return clean

    def _await_goodbyes(self):
        began, pause = time.monotonic(), 1e-4
        while True:
            self.poll()
            missing = [r for r in range(self.size) if r != self.rank and r not in self.departed]
            if not missing:
                return missing
            failed = self.failure is not None or self.lost
            failed = failed or any(reason for _, reason in self.departed.values())
            if time.monotonic() - began > (FAREWELL_SECONDS if failed else self.farewell_timeout):
                return missing
            time.sleep(pause)
            pause = min(2 * pause, 0.01)

    def end_job(self, message):
        """Ends every rank of the job; leaves hard if MPI_Abort does not return within a second."""
        sys.stdout.flush()
        if message is not None:
            say(message)
            time.sleep(0.2)  # for launchers to pass it on: they drop what they hold when a job is aborted
        self._watch.farewell(failed=True)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a thread could not be started any more at exit
            signal.alarm(1)
        else:
            threading.Timer(1.0, os._exit, [1]).start()
        self.world.Abort(1)
        os._exit(1)

    def why_gone(self, rank):
        """The sentence about a rank that has said goodbye, or None; with how long ago that was."""
        if rank not in self.departed:
            return None
        when, reason = self.departed[rank]
        if rank in self.lost:
            cause = "its process is gone without a word (killed, or ended by os._exit)"
        else:
            cause = f"it ended with {reason}" if reason else "its program ended"
        return time.monotonic() - when, f"rank {rank} has left the job: {cause}"
