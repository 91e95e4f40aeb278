"""The float32 values of every operator case on each instruction set that runs here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from op_cases import CASES

ROOT = Path(__file__).resolve().parent.parent
ISAS = ("reference", "baseline", "avx2", "avx512", "avx512_bf16", "amx", "neon")

# Run in a process of its own: the instruction set is chosen once. Results go by the number of the case.
PROGRAM = """
import sys
import nnlib
import numpy
from nnlib import _C
from op_cases import CASES
from test_ops import tensors

results = {}
for number, case in enumerate(CASES):
    result = case.call(nnlib, *tensors(nnlib, case.arrays(), nnlib.float32))
    results[str(number)] = result.detach().numpy()
numpy.savez(sys.argv[1], **results)
print(_C._isa())
"""


def results(isa, path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    env["NNLIB_ISA"] = isa
    command = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    if "does not run on this processor" in done.stderr:
        pytest.skip(f"{isa} does not run here")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [isa]
    return np.load(path)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return results("reference", tmp_path_factory.mktemp("isa") / "reference.npz")


@pytest.mark.parametrize("isa", ISAS[1:])
def test_every_instruction_set_agrees_with_the_reference(isa, reference, tmp_path):
    got = results(isa, tmp_path / "values.npz")
    for number, case in enumerate(CASES):
        a, b = got[str(number)], reference[str(number)]
        scale = max(1.0, float(np.abs(np.nan_to_num(b)).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * scale, err_msg=case.name)
