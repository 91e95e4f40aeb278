"""Ends with a collective on its way and without destroy_process_group."""

import nnlib as torch
import nnlib.distributed as dist

dist.init_process_group("mpi")
t = torch.ones(300_000)
dist.all_reduce(t, async_op=True)
print("RANK DONE", flush=True)
