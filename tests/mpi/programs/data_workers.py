"""Every rank reads its share through worker processes, started after MPI."""

import nnlib
import nnlib.distributed as dist
from nnlib.utils.data import DataLoader, DistributedSampler, TensorDataset

if __name__ == "__main__":
    dist.init_process_group("mpi")
    data = TensorDataset(nnlib.arange(32 * 10000.0).reshape(32, 10000))
    for method in ("fork", "spawn", "forkserver"):
        loader = DataLoader(
            data,
            batch_size=4,
            sampler=DistributedSampler(data),
            num_workers=1,
            multiprocessing_context=method,
        )
        total = nnlib.zeros((), dtype=nnlib.float64)
        for (rows,) in loader:
            total += rows.to(nnlib.float64).sum()
        dist.all_reduce(total)
        assert total.item() == data.tensors[0].to(nnlib.float64).sum().item()
    print("RANK DONE", flush=True)
