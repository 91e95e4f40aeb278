"""Every rank is told when rank 0 cannot write or read, and the job goes on."""

import errno
import sys

import nnlib as torch
import nnlib.distributed as dist
import nnlib.distributed.checkpoint as dcp
from nnlib import _pickle_zip

folder = sys.argv[1]
dist.init_process_group("mpi", timeout=10)
rank, world = dist.get_rank(), dist.get_world_size()


def refused(call, words):
    try:
        call()
    except dcp.CheckpointException as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"rank {rank}: no error, where {words!r} was expected")


class FullDisk(_pickle_zip.RecordWriter):
    def write(self, name, data):
        raise OSError(errno.ENOSPC, "No space left on device")


state = {"t": torch.full((3,), float(rank)), "mine": dcp.PerRank(torch.nn.Linear(1, 1)), "n": rank}
path = f"{folder}/run.pt"
dcp.save(state, checkpoint_id=path)
weight = state["mine"].entry.weight.item()
state["mine"].entry.weight.data.fill_(0.0)
writer, _pickle_zip.RecordWriter = _pickle_zip.RecordWriter, FullDisk
refused(lambda: dcp.save(state, checkpoint_id=path), "rank 0 could not write the checkpoint")
refused(lambda: dcp.save(state, checkpoint_id=path), "No space left on device")
_pickle_zip.RecordWriter = writer
refused(lambda: dcp.save(state, checkpoint_id=f"{folder}/no/run.pt"), "does not exist")
refused(lambda: dcp.load(state, checkpoint_id=f"{folder}/nothing.pt"), "rank 0 could not read the checkpoint")
refused(lambda: dcp.load({"other": 1}, checkpoint_id=path), "has no entry 'other'")
dcp.load(state, checkpoint_id=path)
assert state["t"].tolist() == [0.0] * 3 and state["n"] == 0  # rank 0's
assert state["mine"].entry.weight.item() == weight  # each rank's own
half = dist.new_group([0])
if rank == 0:
    dcp.save({"n": 7}, checkpoint_id=path, process_group=half)
dist.barrier()
dcp.load(state := {"n": 0}, checkpoint_id=path)
assert state == {"n": 7}
print("RANK DONE", flush=True)
