"""The examples of the documentation and of the docstrings run."""

import doctest
import importlib
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import nnlib

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def modules():
    """The names of all modules of the package."""
    return [
        info.name
        for info in pkgutil.walk_packages(nnlib.__path__, "nnlib.")
        if ".__main__" not in info.name and "._C" not in info.name
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_examples_of_a_page_run(page):
    """The Python blocks of a page, one after the other, as one program."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    program = "\n".join(block for block in blocks)
    try:
        exec(compile(program, page.name, "exec"), {"__name__": "__main__"})
    finally:
        if "init_process_group" in program and nnlib.distributed.is_initialized():
            nnlib.distributed.destroy_process_group()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_run(name):
    """Those of private classes are templates, from which the public ones are made.

    Those of `distributed` run in a world of one.
    """
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    threads = nnlib.get_num_threads()
    nnlib.manual_seed(0)
    names = {"nnlib": nnlib}
    if name.startswith("nnlib.distributed."):
        names |= {"torch": nnlib, "dist": nnlib.distributed}
        nnlib.distributed.init_process_group()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for example in doctest.DocTestFinder().find(module, extraglobs=names):
                if not re.search(r"\._[a-zA-Z]", example.name.removeprefix(name)):
                    runner.run(example)
    finally:
        nnlib.set_num_threads(threads)
        if nnlib.distributed.is_initialized():
            nnlib.distributed.destroy_process_group()
    assert runner.failures == 0, f"{runner.failures} of {runner.tries} examples in {name} failed"
