"""One way to fail with RPC, named by the first argument. The last worker is the one that misbehaves."""

import os
import signal
import sys
import threading
import time

import nnlib as torch
import nnlib.distributed.rpc as rpc
from nnlib.distributed import _runtime

case = sys.argv[1]
rank, world = _runtime.runtime().rank, _runtime.runtime().size
odd_one = rank == world - 1
if case != "two_have_one_name":
    rpc.init_rpc(f"w{rank}")
there = f"w{world - 1}"


def wait_long():
    time.sleep(40)


def raises_while_it_is_called():
    if odd_one:
        time.sleep(0.3)
        raise ValueError("the data is bad")
    rpc.rpc_sync(there, wait_long)


def raises_while_others_shut_down():
    if odd_one:
        raise ValueError("the data is bad")
    rpc.shutdown()


def raises_while_others_compute():
    if odd_one:
        raise ValueError("the data is bad")
    time.sleep(40)


def an_answer_is_an_error_that_nobody_catches():
    if not odd_one:
        rpc.rpc_sync(there, torch.add, (1,))
    rpc.shutdown()


def exits_early():
    if not odd_one:
        rpc.rpc_sync(there, wait_long)


def is_killed():
    if odd_one:
        os.kill(os.getpid(), signal.SIGKILL)
    rpc.rpc_sync(there, wait_long)


def is_interrupted():
    if not odd_one:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        rpc.rpc_sync(there, wait_long)
    rpc.shutdown()


def does_not_shut_down():
    if odd_one:
        time.sleep(40)
    rpc.shutdown(timeout=1)


def leaves_without_grace():
    if odd_one:
        time.sleep(0.3)
        rpc.shutdown(graceful=False)
        time.sleep(40)
    rpc.rpc_sync(there, wait_long)


def two_have_one_name():
    rpc.init_rpc("same")


globals()[case]()
