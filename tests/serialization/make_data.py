"""Writes the files in data/ as PyTorch's users have them on their disks. Needs PyTorch 2.13."""

from collections import OrderedDict
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "data"


def content():
    base = torch.arange(12, dtype=torch.float32)
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    values = torch.tensor([1.0, 2.0])
    return {
        "state": OrderedDict(weight=weight, bias=torch.tensor([0.5, -0.5])),
        "base": base,
        "view": base.view(3, 4)[1:, ::2],
        "dtypes": [torch.tensor([1, 0, 1]).to(getattr(torch, name)) for name in DTYPES],
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "sparse": torch.sparse_coo_tensor(torch.tensor([[0, 2], [1, 0]]), values, (3, 2)),
        "plain": [1, -(2**40), 2.5, True, None, "text", b"bytes", (1, (2,)), {"key": {3}}, 1 + 2j],
        "size": torch.Size([2, 3]),
        "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
    }


DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()

if __name__ == "__main__":
    torch.save(content(), FOLDER / "zip.pt")
    torch.save(content(), FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
