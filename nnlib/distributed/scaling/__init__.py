"""How the time of a data-parallel training step grows with the number of ranks: measured here, and computed.

``mpirun -n 4 python -m nnlib.distributed.scaling --json FILE`` measures what the model needs and steps of 1, 2 and 4
ranks, in turn in several rounds; ``--read FILE`` computes these steps, compares, and says
what larger clusters would do and which sizes of buckets they want. docs/scaling.md has the model and a result.
"""

from .model import Machine, Program, best_bucket, predict

__all__ = ["Machine", "Program", "best_bucket", "predict"]
