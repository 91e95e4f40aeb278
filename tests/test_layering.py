"""Each layer includes only what lies below it, and the project stands alone."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
# Each may include its own folder and the ones named.
LAYERS = {
    "kernels": set(),
    "core": {"kernels"},
    "autograd": {"core", "kernels"},
    "ops": {"autograd", "core", "kernels"},
    "distributed": {"autograd", "core", "kernels"},
    "python": {"ops", "distributed", "autograd", "core", "kernels"},
}
SUFFIXES = {".h", ".cpp", ".inl", ".def"}
CONTAINERS = {
    "vector",
    "string",
    "map",
    "unordered_map",
    "set",
    "deque",
    "list",
    "functional",
    "memory",
    "iostream",
}


def sources(folder):
    return sorted(path for path in (CSRC / folder).rglob("*") if path.suffix in SUFFIXES)


def includes(path, pattern):
    return re.findall(rf"^\s*#\s*include\s+{pattern}", path.read_text(), flags=re.M)


def layer_of(path, target):
    """The layer of an included file, which is found beside the including one or from csrc on."""
    beside = (path.parent / target).resolve()
    found = beside if beside.exists() else (CSRC / target).resolve()
    return found.relative_to(CSRC).parts[0]


def all_files():
    """What git tracks and the files that it would; without git (a source archive) this has nothing to say."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in run.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_folder_has_its_layer():
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_includes_go_downward(layer):
    allowed = LAYERS[layer] | {layer}
    wrong = [
        f"{path.relative_to(ROOT)} includes {target}"
        for path in sources(layer)
        for target in includes(path, '"([^"]+)"')
        if layer_of(path, target) not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_openmp_stands_in_one_place():
    found = {
        path.relative_to(CSRC).as_posix()
        for layer in LAYERS
        for path in sources(layer)
        if re.search(r"#\s*pragma\s+omp|#\s*include\s+<omp\.h>", path.read_text())
    }
    assert found == {"core/team_openmp.cpp"}, found


def test_kernels_are_plain():
    """dispatch.cpp holds no kernel: it chooses a table, once."""
    wrong = [
        f"{path.relative_to(ROOT)} includes <{header}>"
        for path in sources("kernels")
        for header in includes(path, "<([^>]+)>")
        if header in CONTAINERS and path.name != "dispatch.cpp"
    ]
    assert not wrong, "\n".join(wrong)


def test_python_is_spoken_in_the_binding_alone():
    wrong = [
        str(path.relative_to(ROOT))
        for layer in set(LAYERS) - {"python"}
        for path in sources(layer)
        if includes(path, r"[<\"](Python\.h|pybind11/[^>\"]+)")
    ]
    assert not wrong, wrong


def imported(path):
    """The absolute names of the modules that a file of the package imports while it is itself imported."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])])


# The rooms of the Python package and what they may not import when they are imported.
FORBIDDEN = {
    "nnlib/nn/functional": ("nnlib.nn.modules", "nnlib.optim", "nnlib.distributed"),
    "nnlib/nn/modules": ("nnlib.optim", "nnlib.utils.data"),
    "nnlib/optim": ("nnlib.nn.modules", "nnlib.distributed"),
    "nnlib/autograd": ("nnlib.nn", "nnlib.optim", "nnlib.distributed"),
    "nnlib/utils/data": ("nnlib.nn", "nnlib.optim"),
}
# Imported when used, so that `import nnlib` is quick and needs NumPy alone.
EXTRAS = ("mpi4py", "tqdm", "matplotlib", "sklearn", "safetensors", "rich", "torch", "scipy")


@pytest.mark.parametrize("room", FORBIDDEN)
def test_python_rooms_keep_apart(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in imported(path)
        if any(name == other or name.startswith(other + ".") for other in FORBIDDEN[room])
    ]
    assert not wrong, "\n".join(wrong)


def test_extras_are_imported_when_used():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "nnlib").rglob("*.py"))
        for name in imported(path)
        if name.split(".")[0] in EXTRAS
    ]
    assert not wrong, "\n".join(wrong)


def test_the_project_stands_alone():
    """No path of anybody's machine, and no folder beside the checkout."""
    pattern = re.compile(r"(?<![\w.~-])/(?:home|work|root|Users|mnt|opt)/\w|\.\./shared")
    wrong = []
    for path in all_files():
        if path.suffix in {".pt", ".png", ".pth"} or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [
            f"{path.relative_to(ROOT)}: {line.strip()[:100]}"
            for line in text.splitlines()
            if pattern.search(line)
        ]
    assert not wrong, "\n".join(wrong)
