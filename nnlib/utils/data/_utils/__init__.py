"""The parts of the DataLoader: collation, fetching, workers and the way of data between processes."""

from . import collate, fetch, worker

__all__ = ["collate", "fetch", "worker"]
