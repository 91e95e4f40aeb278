"""Builds nnlib's native modules with CMake; everything else stands in pyproject.toml.

Environment variables that are read:

* ``NNLIB_CMAKE_ARGS``: further arguments for CMake's configure step, e.g. ``-DCMAKE_BUILD_TYPE=Debug``;
* ``NNLIB_BUILD_JOBS`` (or ``CMAKE_BUILD_PARALLEL_LEVEL``): how many compilers run at once.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
GIB = 1 << 30


def build_jobs() -> int:
    """One compiler a core, fewer where memory is short (a large translation unit takes about 1 GiB)."""
    asked = os.environ.get("NNLIB_BUILD_JOBS") or os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL")
    if asked:
        return max(1, int(asked))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores, memory // GIB))


def build_folder(options: list[str]) -> Path:
    """A folder for this Python and these options: builds of other kinds do not overwrite each other."""
    digest = hashlib.sha256(" ".join(options).encode()).hexdigest()[:8]
    return ROOT / "build" / f"{sysconfig.get_config_var('SOABI')}-{digest}"


def steady_pybind11(folder: Path) -> Path:
    """Copy pybind11 out of pip's isolated environment and return the folder of its CMake files.

    That environment has another path in every build. Compiling against it would rebuild every file
    each time; a copy named after the version keeps incremental builds incremental.
    """
    import pybind11

    copy = folder / f"pybind11-{pybind11.__version__}"
    if not copy.exists():
        part = copy.with_name(f"{copy.name}.{os.getpid()}.part")
        shutil.copytree(pybind11.get_include(), part / "include")
        shutil.copytree(pybind11.get_cmake_dir(), part / "share" / "cmake" / "pybind11")
        part.rename(copy)
    return copy / "share" / "cmake" / "pybind11"


def tool(module: str, name: str) -> str:
    """The program ``name`` of the wheel ``module``, or the one on the path."""
    try:
        package = __import__(module)
        folder = getattr(package, "CMAKE_BIN_DIR", None) or getattr(package, "BIN_DIR", None)
    except ImportError:
        folder = None
    found = shutil.which(name, path=folder) if folder else None
    found = found or shutil.which(name)
    if found is None:
        raise RuntimeError(f"nnlib's build needs {name}, which was not found: pip install {module}")
    return found


class CMakeBuild(build_ext):
    """Runs CMake once for all extensions and takes each from the folder that CMake filled."""

    built: Path | None = None

    def build_extension(self, ext: Extension) -> None:
        if self.built is None:
            self.built = self.run_cmake()
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self.built / self.get_ext_filename(ext.name)
        # Renamed into place: overwriting would change the code under a process that has it loaded.
        part = target.with_name(target.name + ".part")
        shutil.copy2(source, part)
        part.replace(target)

    def run_cmake(self) -> Path:
        options = shlex.split(os.environ.get("NNLIB_CMAKE_ARGS", ""))
        if self.debug:
            options.append("-DCMAKE_BUILD_TYPE=Debug")
        folder = build_folder(options)
        folder.mkdir(parents=True, exist_ok=True)
        cmake = tool("cmake", "cmake")
        configure = [
            cmake, "-S", str(ROOT), "-B", str(folder), "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja', 'ninja')}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={steady_pybind11(folder)}",
            f"-DNNLIB_OUTPUT_DIR={folder / 'out' / 'nnlib'}",
            *options,
        ]  # fmt: skip
        subprocess.run(configure, check=True)
        subprocess.run([cmake, "--build", str(folder), "--parallel", str(build_jobs())], check=True)
        return folder / "out"


def extensions() -> list[Extension]:
    """``nnlib._C``, and ``nnlib.NAME`` for each Cython file ``src/NAME.pyx``."""
    cython = sorted(path.stem for path in (ROOT / "src").glob("*.pyx"))
    return [Extension(f"nnlib.{name}", sources=[]) for name in ["_C", *cython]]


setup(ext_modules=extensions(), cmdclass={"build_ext": CMakeBuild})
