"""The DataLoader with worker processes: start methods, shared memory, death and exceptions."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import nnlib
from nnlib.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

METHODS = ["fork", "spawn", "forkserver"]
WIDTH = 20000  # wide enough for shared memory


class Rows(Dataset):
    """Samples of many kinds."""

    def __init__(self, n=9):
        self.table = nnlib.arange(n * WIDTH, dtype=nnlib.float32).reshape(n, WIDTH)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, i):
        return {
            "row": self.table[i],
            "half": self.table[i, :3].to(nnlib.bfloat16),
            "array": np.full(3, i),
            "name": f"row {i}",
            "number": i,
        }


class Who(Dataset):
    """Which worker read a sample, and what its generators give."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        info = get_worker_info()
        return info.id, info.num_workers, info.seed, random.random(), np.random.rand(), nnlib.rand(()).item()


class Fails(Dataset):
    def __init__(self, how, at=3):
        self.how, self.at = how, at

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == self.at:
            self.how()
        return i


class Shares(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, self.n, info.num_workers))


class OwnError(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")


def raise_value_error():
    raise ValueError("sample is bad")


def raise_key_error():
    raise KeyError("missing\nkey")


def raise_own_error():
    raise OwnError(1, 2)


def raise_stop_iteration():
    raise StopIteration


def raise_local_error():
    class Local(Exception):
        pass

    raise Local("of a function")


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def exit_self():
    os._exit(7)


def hang():
    time.sleep(60)


def fail_in_init(worker_id):
    raise RuntimeError(f"init of {worker_id}")


def seed_init(worker_id):
    random.seed(100 + worker_id)


def lists(loader):
    return [batch.tolist() for batch in loader]


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("method", METHODS)
def test_batches_are_those_without_workers(method):
    want = list(DataLoader(Rows(), batch_size=4))
    got = list(DataLoader(Rows(), batch_size=4, num_workers=2, multiprocessing_context=method))
    assert len(got) == len(want) == 3
    for a, b in zip(got, want, strict=True):
        assert a["name"] == b["name"]
        for key in ("row", "half", "array", "number"):
            assert a[key].dtype == b[key].dtype
            assert (a[key] == b[key]).all().item()
        a["row"].add_(1)  # the memory is ours to write to


def test_without_memory_files(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    want = list(DataLoader(Rows(), batch_size=4))
    got = list(DataLoader(Rows(), batch_size=4, num_workers=2, multiprocessing_context="fork"))
    for a, b in zip(got, want, strict=True):
        assert (a["row"] == b["row"]).all().item()
        a["row"].add_(1)


def no_memory(fd, data, position):
    raise OSError(28, "No space left on device")


def test_no_memory_for_a_batch_is_reported(monkeypatch):
    monkeypatch.setattr(os, "pwrite", no_memory)
    with pytest.raises(OSError, match="(?s)in DataLoader worker process 0.*No space left on device"):
        list(DataLoader(Rows(), batch_size=4, num_workers=2, multiprocessing_context="fork"))


def test_files_and_memory_are_given_back():
    loader = DataLoader(Rows(), batch_size=2, num_workers=2)
    list(loader)
    before = open_files()
    for _ in range(3):
        list(loader)
    iterator = iter(loader)
    next(iterator)
    del iterator
    assert open_files() == before


def test_shuffle_order_is_torchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    orders = []
    for lib in (nnlib, torch):
        lib.manual_seed(7)
        loader = lib.utils.data.DataLoader(range(23), batch_size=4, shuffle=True, num_workers=2)
        orders.append([lists(loader) for _ in range(2)])
    assert orders[0] == orders[1]


def test_worker_info_and_seeds():
    def run():
        nnlib.manual_seed(1)
        rows = [[x.item() for x in batch] for batch in DataLoader(Who(), num_workers=2)]
        return rows

    rows = run()
    assert [r[0] for r in rows] == [0, 1] * 4 and {r[1] for r in rows} == {2}
    assert rows[1][2] == rows[0][2] + 1
    for column in (3, 4, 5):
        assert len({r[column] for r in rows}) == 8
    assert run() == rows
    assert get_worker_info() is None


def test_seeds_are_torchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    nnlib.manual_seed(1)
    ours = [[x.item() for x in batch[2:5]] for batch in DataLoader(Who(), num_workers=1)]
    torch.manual_seed(1)
    seed = torch.empty((), dtype=torch.int64).random_().item()
    from torch.utils.data._utils.worker import _generate_state

    random.seed(seed)
    np.random.seed(_generate_state(seed, 0))
    assert ours[0] == [seed, random.random(), np.random.rand()]


def test_init_fn():
    rows = list(DataLoader(Who(), num_workers=2, worker_init_fn=seed_init))
    for worker in range(2):
        random.seed(100 + worker)
        assert rows[worker][3].item() == random.random()
    with pytest.raises(RuntimeError, match="(?s)in DataLoader worker process 0.*init of 0"):
        list(DataLoader(Who(), num_workers=1, worker_init_fn=fail_in_init))


def test_iterable_shares():
    loader = DataLoader(Shares(11), batch_size=2, num_workers=2)
    for _ in range(2):
        batches = lists(loader)
        assert batches == [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]
    assert sorted(DataLoader(Shares(11), None, num_workers=2)) == list(range(11))


@pytest.mark.parametrize("dataset", [range(10), Shares(10)], ids=["map", "iterable"])
def test_persistent_workers(dataset):
    loader = DataLoader(dataset, batch_size=2, num_workers=2, persistent_workers=True)
    iterator = iter(loader)
    next(iterator)
    pids = [p.pid for p in iterator._pool.processes]
    for _ in range(3):  # after an epoch that was broken off, too
        assert sorted(x for batch in lists(loader) for x in batch) == list(range(10))
    assert [p.pid for p in loader._iterator._pool.processes] == pids
    processes = loader._iterator._pool.processes
    del loader, iterator
    assert not any(p.is_alive() for p in processes)


def test_out_of_order():
    class Slow(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            if i == 0:
                time.sleep(0.5)
            return i

    order = list(DataLoader(Slow(), batch_size=None, num_workers=2, in_order=False))
    assert sorted(order) == list(range(6)) and order[0] != 0
    order = list(DataLoader(Slow(), batch_size=None, num_workers=2))
    assert order == list(range(6))


def test_prefetch_factor_limits_what_is_read_ahead():
    class Taken(list):
        def __getitem__(self, i):
            return i

        def __len__(self):
            return 100

    asked = []

    class Indices:
        def __iter__(self):
            for i in range(100):
                asked.append(i)
                yield i

    iterator = iter(DataLoader(Taken(), sampler=Indices(), num_workers=2, prefetch_factor=3))
    assert len(asked) == 6
    next(iterator)
    assert len(asked) == 7


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        (raise_value_error, ValueError, "sample is bad"),
        (raise_key_error, KeyError, "missing"),
        (raise_own_error, RuntimeError, "OwnError: 1 2"),
        (raise_stop_iteration, StopIteration, "Caught StopIteration"),
        (raise_local_error, RuntimeError, "Caught Local"),
    ],
)
def test_exceptions_come_with_traceback_and_worker(how, error, text):
    loader = DataLoader(Fails(how), num_workers=2)
    iterator = iter(loader)
    assert [next(iterator).item() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(error) as e:
        iterator.__next__()
    message = str(e.value)
    assert text in message and "in DataLoader worker process 1.\nOriginal Traceback" in message
    assert f"in {how.__name__}" in message
    # The worker lives on.
    assert [x.item() for x in iterator] == [4, 5, 6, 7]


def test_data_that_cannot_be_pickled():
    class Lambdas(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return lambda: i

    with pytest.raises(Exception, match="in DataLoader worker process 0"):
        list(DataLoader(Lambdas(), batch_size=None, num_workers=1))


@pytest.mark.parametrize(
    ("how", "text"), [(kill_self, "killed by signal SIGKILL"), (exit_self, "exit code 7")]
)
def test_death_of_a_worker(how, text):
    loader = DataLoader(Fails(how), num_workers=2)
    iterator = iter(loader)
    pid = iterator._pool.processes[1].pid
    with pytest.raises(
        RuntimeError, match=rf"DataLoader worker \(pid\(s\) {pid}\) exited unexpectedly.*{text}"
    ):
        list(iterator)


def test_timeout():
    iterator = iter(DataLoader(Fails(hang, at=0), num_workers=1, timeout=0.3))
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.3 seconds"):
        next(iterator)
    iterator._pool.close(grace=0)


def test_abandoned_iterator_ends_its_workers():
    iterator = iter(DataLoader(Rows(9), num_workers=2, prefetch_factor=4))
    next(iterator)
    processes = iterator._pool.processes
    del iterator
    assert not any(p.is_alive() for p in processes)


def test_two_loaders_at_once():
    one, two = (iter(DataLoader(Rows(6), batch_size=2, num_workers=1)) for _ in range(2))
    for _ in range(3):
        assert next(one)["name"] == next(two)["name"]
    with pytest.raises(StopIteration):
        next(one)
    with pytest.raises(StopIteration):
        next(two)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_cannot_be_sent_to_a_new_process(method):
    loader = DataLoader(range(2), num_workers=1, collate_fn=lambda b: b, multiprocessing_context=method)
    with pytest.warns(UserWarning, match="Got pickle error when attempting to start a worker"):
        with pytest.raises((AttributeError, TypeError, Exception), match="pickle|local object|lambda"):
            iter(loader)


def test_spawned_workers_do_not_see_each_others_writes():
    class_of = TensorDataset(nnlib.zeros(2, WIDTH))
    loader = DataLoader(
        Writes(class_of.tensors[0]), batch_size=None, num_workers=2, multiprocessing_context="spawn"
    )
    assert [x.item() for x in loader] == [1.0, 1.0]
    assert class_of.tensors[0].sum().item() == 0


class Writes(Dataset):
    def __init__(self, table):
        self.table = table

    def __len__(self):
        return 2

    def __getitem__(self, i):
        self.table += 1
        return self.table.max()


def run_script(text, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        **options,
    )


def gone(pid, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


# A shell that starts the tests in the background has them ignore Ctrl-C.
SCRIPT = """
    import signal, time
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from nnlib.utils.data import DataLoader
    class Slow:
        def __len__(self): return 100
        def __getitem__(self, i):
            if i > 3: time.sleep(60)
            return i
    it = iter(DataLoader(Slow(), num_workers=2))
    next(it)
    print(*(p.pid for p in it._pool.processes), flush=True)
    for _ in it: pass
"""


def test_workers_die_with_the_parent():
    process = run_script(SCRIPT)
    pids = [int(p) for p in process.stdout.readline().split()]
    assert len(pids) == 2
    process.kill()
    process.communicate()
    assert all(gone(pid) for pid in pids)


def test_keyboard_interrupt_is_clean():
    process = run_script(SCRIPT, start_new_session=True)
    pids = [int(p) for p in process.stdout.readline().split()]
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert err.count("Traceback") == 1 and err.rstrip().endswith("KeyboardInterrupt")
    assert all(gone(pid) for pid in pids)


def test_nothing_is_said_or_left_at_exit():
    process = run_script(
        """
        import nnlib
        from nnlib.utils.data import DataLoader, TensorDataset
        data = TensorDataset(nnlib.zeros(64, 20000))
        loader = DataLoader(data, batch_size=8, num_workers=2, persistent_workers=True)
        for batch in loader: pass
        kept = iter(loader)
        next(kept)
        other = iter(DataLoader(data, num_workers=1))
        next(other)
        """
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == "" and out == ""
