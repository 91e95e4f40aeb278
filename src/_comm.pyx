# cython: language_level=3
"""The communication thread of a process group, and the handles of what it was asked to do.

One thread serves one group. It waits for jobs on a C++ queue without the GIL, and takes the GIL only to start
or poll a transfer, which mpi4py runs without it. What a transfer does is a generator made by the transport
(nnlib/distributed/_transport.py): it yields when it has to wait, so that one thread can keep several
point-to-point transfers in the air, give every one of them a deadline, and drop it when a rank has gone.
"""
import sys
import threading
import time

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libcpp cimport bool as cbool
from libcpp.memory cimport make_shared, shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "distributed/queue.h" namespace "nnlib::distributed" nogil:
    cdef cppclass Job:
        Job()
        int32_t dtype
        int32_t reduce_op
        int64_t count
        int64_t forwards
        void* data
        void* owner
        cbool wait(double)
        void begin()
        void finish()
        void fail(string)
        cbool is_over()
        cbool has_failed()
        string error()

    cdef cppclass CQueue "nnlib::distributed::Queue":
        CQueue()
        void push(shared_ptr[Job])
        shared_ptr[Job] pop(double)
        void done()
        cbool drain(double)
        void close(string)
        cbool closed()
        string reason()


cdef extern from "distributed/rank_reduce.h" namespace "nnlib::distributed" nogil:
    cdef enum class ReduceOp(int32_t):
        pass
    cdef enum class Form(int32_t):
        Whole
        Partial
        Final
    cdef cppclass RankSum:
        int32_t dtype
        ReduceOp op
        Form form
        int64_t divisor
        int groups
        const int* sizes
    cbool c_reduce_ranks "nnlib::distributed::reduce_ranks"(
        const RankSum&, int64_t, const void* const*, int, void* const*)


cdef extern from "distributed/node_link.h" namespace "nnlib::distributed" nogil:
    cdef cppclass CNodeLink "nnlib::distributed::NodeLink":
        @staticmethod
        int64_t bytes(int, int)
        CNodeLink(void*, int, int, int)
        void post(const void*)
        void post_for(int, const void*)
        cbool collect(double, void*)
        cbool has_posted(int)
        void start_sum(const void*, void*, int64_t, int32_t, ReduceOp)
        void start_broadcast(void*, int64_t, int)
        void start_shared_sum(void* const*, int64_t, int32_t, ReduceOp)
        void start_meeting()
        char* staging(int)
        int64_t staging_bytes()
        cbool advance_sum(double)


cdef extern from "<sched.h>" nogil:
    int sched_yield()


cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int nanosleep(const timespec*, timespec*)


cdef const char* CAPSULE = "nnlib.distributed.Queue"
_here = threading.local()  # .serving is true in communication threads
cdef double SIGNAL_SLICE = 0.1  # seconds between looks for Ctrl-C while the main thread waits
cdef double LINK_SLICE = 0.005  # seconds in shared memory between looks at deadlines and departed ranks
cdef int MOVED = 2  # what a generator yields when a part of its data is there
cdef double IDLE_SLICE = 1.0    # the queue wakes the thread at once: this only bounds a missed wake-up


def reduce_ranks(int dtype, int op, int64_t count, list sources, uintptr_t out, groups=None):
    """Combines `count` elements of every rank in rank order; addresses in, result at the address `out`.

    With `groups`, the numbers of ranks on each node, the sources come node by node: each node's are combined
    first, and then the nodes' results.
    """
    _reduce(dtype, op, count, sources, [out], groups or [len(sources)], Form.Whole, len(sources))


def reduce_node(int dtype, int op, int64_t count, list sources, uintptr_t out):
    """The first part of a sum over several nodes: those of one, in the wide type of csrc/distributed/rank_reduce.h."""
    _reduce(dtype, op, count, sources, [out], [len(sources)], Form.Partial, 1)


def reduce_nodes(int dtype, int op, int64_t count, list sources, list outs, int ranks):
    """The second part: what the nodes gave, in order, to each address of `outs`; AVG divides by `ranks`."""
    _reduce(dtype, op, count, sources, outs, [len(sources)], Form.Final, ranks)


cdef _reduce(int dtype, int op, int64_t count, list sources, list outs, list groups, Form form, int64_t divisor):
    cdef vector[const void*] given
    cdef vector[void*] targets
    cdef vector[int] sizes = groups
    cdef RankSum total
    cdef cbool known
    if sum(groups) != len(sources):
        raise ValueError(f"groups of {groups} ranks do not fit {len(sources)} sources")
    for address in sources:
        given.push_back(<const void*> <uintptr_t> address)
    for address in outs:
        targets.push_back(<void*> <uintptr_t> address)
    total.dtype, total.op, total.form, total.divisor = dtype, <ReduceOp> op, form, divisor
    total.groups, total.sizes = <int> sizes.size(), sizes.data()
    with nogil:
        known = c_reduce_ranks(total, count, given.data(), <int> targets.size(), targets.data())
    if not known:
        raise ValueError("this reduction has no meaning for this dtype")


cdef class NodeLink:
    """Ranks of one node meeting in shared memory; see csrc/distributed/node_link.h. All waits are without the GIL."""
    cdef CNodeLink* link
    cdef object memory

    def __cinit__(self, memory, uintptr_t address, int rank, int ranks, int elsewhere=0):
        self.memory = memory
        self.link = new CNodeLink(<void*> address, rank, ranks, elsewhere)

    def __dealloc__(self):
        del self.link

    @staticmethod
    def bytes(int ranks, int elsewhere=0):
        """Bytes of shared memory that so many ranks need, beside so many on other nodes."""
        return CNodeLink.bytes(ranks, elsewhere)

    def post(self, uintptr_t header):
        """Shows this rank's signature, at that address, to the others."""
        self.link.post(<void*> header)

    def post_for(self, int board, uintptr_t header):
        """Shows the signature of a rank on another node."""
        self.link.post_for(board, <void*> header)

    def collect(self, uintptr_t headers):
        """Writes all ranks' signatures to that address; False when some rank has not come yet."""
        cdef cbool here
        with nogil:
            here = self.link.collect(LINK_SLICE, <void*> headers)
        return here

    def has_posted(self, int board):
        """Whether the signature of this round is on a rank's board."""
        return self.link.has_posted(board)

    def start_sum(self, uintptr_t source, uintptr_t out, int64_t count, int dtype, int op):
        """Starts a sum over the ranks, from one address to another."""
        self.link.start_sum(<void*> source, <void*> out, count, dtype, <ReduceOp> op)

    def start_broadcast(self, uintptr_t data, int64_t size, int root):
        """Starts a copy of the root's `size` bytes at that address to all ranks."""
        self.link.start_broadcast(<void*> data, size, root)

    def start_shared_sum(self, list parts, int64_t count, int dtype, int op):
        """Starts a sum in place of buffers in shared memory, given by their addresses in rank order."""
        cdef vector[void*] pointers
        for address in parts:
            pointers.push_back(<void*> <uintptr_t> address)
        self.link.start_shared_sum(pointers.data(), count, dtype, <ReduceOp> op)

    def start_meeting(self):
        """Starts a wait for all ranks of the node."""
        self.link.start_meeting()

    def staging(self, int rank):
        """The address of a rank's memory for data on its way."""
        return <uintptr_t> self.link.staging(rank)

    def staging_bytes(self):
        """How much of it each rank has."""
        return self.link.staging_bytes()

    def advance_sum(self):
        """Goes on with it; False when it is not over yet."""
        cdef cbool over
        with nogil:
            over = self.link.advance_sum(LINK_SLICE)
        return over


cdef void free_queue(object capsule) noexcept:
    del_queue(<shared_ptr[CQueue]*> PyCapsule_GetPointer(capsule, CAPSULE))


cdef void del_queue(shared_ptr[CQueue]* queue) noexcept:
    del queue


cdef class Work:
    """One collective on its way. `error` is the exception it ended with, or None."""
    cdef shared_ptr[Job] job
    cdef readonly object request
    cdef readonly object error
    cdef list watchers

    def __cinit__(self, request=None):
        self.request = request
        self.watchers = []

    def when_done(self, watcher):
        """Calls watcher(self) when the collective is over: at once, or from the communication thread."""
        if self.job.get().is_over():
            watcher(self)
        else:
            self.watchers.append(watcher)

    def over(self):
        """True when the collective has ended, well or badly."""
        return self.job.get().is_over()

    def wait(self, seconds=None):
        """Blocks until the collective is over; False when `seconds` passed first. Ctrl-C interrupts it."""
        if getattr(_here, "serving", False):
            raise RuntimeError("wait() was called in a callback, which runs in the communication thread: the thread "
                               "would wait for itself. Chain the next step with then() instead")
        cdef double left = -1.0 if seconds is None else seconds
        cdef double now = SIGNAL_SLICE
        cdef cbool over
        cdef Job* job = self.job.get()
        while True:
            if left >= 0.0:
                now = min(left, SIGNAL_SLICE)
            with nogil:
                over = job.wait(now)
            if over:
                return True
            PyErr_CheckSignals()
            if left >= 0.0:
                left -= now
                if left <= 0.0:
                    return False

    cdef settle(self, error):
        """Ends the job. The result is put in place before anybody can see that it is there."""
        if error is None and self.request.finish is not None:
            try:
                self.request.finish()
            except BaseException as problem:
                error = problem
        self.error = error
        self.request.release()
        if error is None:
            self.job.get().finish()
        else:
            self.job.get().fail(str(error).encode())
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            try:
                watcher(self)
            except Exception as problem:
                sys.excepthook(type(problem), problem, problem.__traceback__)


cdef class Queue:
    """The queue of one group: `submit` from any thread, `serve` in the communication thread."""
    cdef shared_ptr[CQueue] queue

    def __cinit__(self):
        self.queue = make_shared[CQueue]()

    def capsule(self):
        """A capsule with which the native reducer pushes into the same queue."""
        return PyCapsule_New(new shared_ptr[CQueue](self.queue), CAPSULE, free_queue)

    def submit(self, request):
        """Puts a request at the end of the queue and returns its Work."""
        cdef Work work = Work(request)
        work.job = make_shared[Job]()
        work.job.get().owner = <void*> work
        Py_INCREF(work)  # given back by the thread when the job is over
        if self.queue.get().closed():
            Py_DECREF(work)
            raise RuntimeError(self.queue.get().reason().decode())
        with nogil:
            self.queue.get().push(work.job)
        return work

    def drain(self, double seconds):
        """Waits until everything submitted is over; False when `seconds` passed first."""
        cdef double now
        cdef cbool empty
        while True:
            now = min(seconds, SIGNAL_SLICE)
            with nogil:
                empty = self.queue.get().drain(now)
            if empty:
                return True
            PyErr_CheckSignals()
            seconds -= now
            if seconds <= 0.0:
                return False

    def close(self, reason):
        """Takes no more requests; what is on its way ends with an error of that text."""
        self.queue.get().close(reason.encode())

    def serve(self, transport):
        """Runs requests until the queue is closed and empty. The body of the communication thread."""
        _here.serving = True
        cdef Operation collective = None
        cdef Operation started
        cdef list active = []
        cdef shared_ptr[Job] job
        cdef CQueue* queue = self.queue.get()
        cdef double seconds
        cdef Pace pace = Pace()
        while True:
            if collective is None:
                seconds = pace.pause() if active else IDLE_SLICE
                with nogil:
                    job = queue.pop(seconds)
                if job.get() != NULL:
                    started = begin(job, transport)
                    if started.work.request.exclusive:
                        collective = started
                    active.append(started)
                    pace.restart()
                elif not active:
                    if queue.closed():
                        return
                    transport.idle()
            else:
                pace.rest(collective.moved != 0)
            if queue.closed():
                for op in active:
                    (<Operation> op).drop(transport.closed_error(queue.reason().decode()))
            for op in active:
                (<Operation> op).step(transport)
            if collective is not None and collective.moved == MOVED:
                pace.restart()  # the next part may be as quick
            if any((<Operation> op).over for op in active):
                for op in active:
                    if (<Operation> op).over:
                        queue.done()
                active = [op for op in active if not (<Operation> op).over]
                if collective is not None and collective.over:
                    collective = None
                pace.restart()


@cython.final
cdef class Operation:
    """A job that has been started: its generator, its deadline, and how far it has come."""
    cdef Work work
    cdef object generator
    cdef double began, deadline, looked
    cdef cbool over
    cdef int moved  # what it has yielded: false while ranks are awaited, true while data moves, 2 after a part of it

    cdef step(self, transport):
        """Goes on until the transfer has to wait again; ends it when it is done, too late, or hopeless."""
        if self.over:
            return
        try:
            self.moved = next(self.generator)
        except StopIteration:
            self.end(None)
            return
        except BaseException as error:
            self.end(error)
            return
        cdef double now = time.monotonic()
        if now - self.looked < 0.005:
            return
        self.looked = now
        if now > self.deadline:
            self.drop(transport.timeout_error(self.work.request))
        else:
            gone = transport.gone_error(self.work.request)
            if gone is not None:
                self.drop(gone)

    cdef drop(self, error):
        """Gives the transfer up: whatever of it is in the air, the group cannot be trusted after this."""
        if self.over:
            return
        self.generator.close()
        self.end(error)

    cdef end(self, error):
        self.over = True
        self.generator = None
        self.work.settle(error)


cdef Operation begin(shared_ptr[Job] job, transport):
    cdef Operation op = Operation()
    job.get().begin()
    if job.get().owner != NULL:
        op.work = <Work> <object> <PyObject*> job.get().owner
        Py_DECREF(op.work)
        job.get().owner = NULL
    else:
        op.work = Work(transport.native_request(<uintptr_t> job.get().data, job.get().count, job.get().dtype,
                                                job.get().reduce_op, job.get().forwards))
        op.work.job = job
    op.began = op.looked = time.monotonic()
    op.deadline = op.began + op.work.request.timeout
    op.generator = transport.run(op.work.request)
    return op


@cython.final
cdef class Pace:
    """How the thread waits between polls: it yields the core for a short while, then it sleeps.

    MPI's blocking calls burn a core; here cores are what the ranks compute with. While data is moving the
    other side is at work too and the end is near, so it stays awake for longer than while ranks are awaited.
    """
    cdef double began

    def __cinit__(self):
        self.restart()

    cdef restart(self):
        self.began = time.monotonic()

    cdef double pause(self):
        cdef double waited = time.monotonic() - self.began
        return 0.0 if waited < 5e-5 else 2e-5 if waited < 2e-3 else 2e-4 if waited < 0.1 else 1e-3

    cdef rest(self, cbool moving):
        cdef timespec gap
        cdef double seconds = self.pause()
        if moving and time.monotonic() - self.began < 0.05:
            seconds = 0.0
        gap.tv_sec = 0
        gap.tv_nsec = <long> (seconds * 1e9)
        with nogil:
            if gap.tv_nsec == 0:
                sched_yield()
            else:
                nanosleep(&gap, NULL)
