"""Check the wheel given on the command line: small enough, no MPI inside, and it works with NumPy alone."""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

LIMIT = 5 * 10**6
PROGRAM = """
import importlib, pkgutil
import nnlib
for module in pkgutil.walk_packages(nnlib.__path__, "nnlib."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
x = nnlib.ones(2, 3, requires_grad=True)
nnlib.nn.Linear(3, 4)(x).sum().backward()
assert x.grad.shape == (2, 3)
try:
    nnlib.distributed.init_process_group("mpi")
except Exception as error:
    assert "nnlib[mpi]" in str(error), error
else:
    raise AssertionError("an MPI was found although mpi4py is not installed")
print("nnlib", nnlib.__version__, "works from", nnlib.__path__[0])
"""


def main(wheel: Path) -> None:
    size = wheel.stat().st_size
    names = zipfile.ZipFile(wheel).namelist()
    print(f"{wheel.name}: {size / 1e6:.2f} MB, {len(names)} files")
    assert size <= LIMIT, f"the wheel has {size} bytes, at most {LIMIT} are allowed"
    foreign = [name for name in names if not name.startswith(("nnlib/", "nnlib-"))]
    assert not foreign, f"the wheel holds files outside the package: {foreign}"
    assert any(name.startswith("nnlib/_C.") for name in names), "the wheel holds no nnlib._C"
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, wheel.resolve()], check=True)
        subprocess.run([python, "-c", PROGRAM], check=True, cwd=folder)


main(Path(sys.argv[1]))
