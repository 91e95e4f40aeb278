"""Builds and runs the C++ kernel tests (tests/cpp) on every instruction set; checks their symbols."""

import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def tool(name):
    """The path of a build tool: beside this Python first, then on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def build_folder():
    """The folder in which setup.py built the library, for its kernels are compiled there already; or our own.

    With the options that make a folder of ours what it is.
    """
    plain = hashlib.sha256(b"").hexdigest()[:8]  # setup.py's name for a build without options
    library = ROOT / "build" / f"{sysconfig.get_config_var('SOABI')}-{plain}"
    if tool("ninja") and (library / "build.ninja").exists():
        return library, []
    return ROOT / "build" / "tests", ["-DNNLIB_BUILD_PYTHON=OFF", "-DCMAKE_BUILD_TYPE=Release"]


@pytest.fixture(scope="module")
def build():
    """The folder with the program, built."""
    cmake = tool("cmake")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("needs cmake and a C++ compiler")
    folder, options = build_folder()
    configure = [cmake, "-S", str(ROOT), "-B", str(folder), "-DNNLIB_BUILD_TESTS=ON", *options]
    if tool("ninja"):
        configure += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"]
    if options and shutil.which("ccache"):  # in the library's folder another launcher would compile all anew
        configure += ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
    for command in (configure, [cmake, "--build", str(folder), "--target", "kernel_tests", "-j", "2"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def kernel_tests(build):
    return build / "tests" / "cpp" / "kernel_tests"


def run(program, *args, **env):
    clean = {key: value for key, value in os.environ.items() if key != "NNLIB_ISA"}
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=600, env={**clean, **env})


def test_kernels_agree_with_the_reference_on_every_instruction_set(kernel_tests):
    names = run(kernel_tests, "--isas").stdout.split()
    assert names[0] == "reference" and len(names) >= 2
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda name: run(kernel_tests, NNLIB_ISA=name), names):
            assert done.returncode == 0, done.stdout + done.stderr


def test_nnlib_isa_chooses_the_table(kernel_tests):
    names = run(kernel_tests, "--isas").stdout.split()
    assert run(kernel_tests, "--isa").stdout.strip() == names[-1]
    for name in names:
        assert run(kernel_tests, "--isa", NNLIB_ISA=name).stdout.strip() == name


def test_unknown_or_missing_isa_is_an_error(kernel_tests):
    done = run(kernel_tests, "--isa", NNLIB_ISA="sse9")
    assert done.returncode == 2
    assert "expected reference, baseline, avx2, avx512, avx512_bf16, amx or neon, got 'sse9'" in done.stderr
    names = run(kernel_tests, "--isas").stdout.split()
    missing = next(name for name in ("neon", "amx", "baseline") if name not in names)
    done = run(kernel_tests, "--isa", NNLIB_ISA=missing)
    assert done.returncode == 2 and f"'{missing}' does not run on this processor" in done.stderr


def test_no_symbol_can_be_merged_across_instruction_sets(build):
    """Weak symbols of a table's object are kept once by the linker: each must name its instruction set."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    objects = sorted(build.glob("csrc/kernels/CMakeFiles/nnlib_table_*.dir/**/*.o"))
    assert objects
    for path in objects:
        isa = re.search(r"nnlib_table_(\w+)\.dir", str(path)).group(1)
        command = [nm, "--defined-only", "-C", str(path)]
        symbols = subprocess.run(command, capture_output=True, text=True, check=True)
        for line in symbols.stdout.splitlines():
            _, kind, name = line.split(" ", 2)
            local = kind.islower() and kind not in "uvw"
            assert local or f"nnlib::kernels::{isa}::" in name, f"{path.name} ({isa}): {kind} {name}"
