"""The command line of ``python -m nnlib.bench``."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
from pathlib import Path

from . import limits, load, measure, memory, report, roofline
from .cases import CASES, GROUPS, choose
from .peer import Failed, Library

EPILOG = """\
Shares are of what the machine was measured to do in the same run: float32 multiply-adds on registers for what
computes, copies within the level of memory that holds the data for what moves. docs/performance.md says more.
NNLIB_ISA chooses the instruction set, --threads the threads."""


def positive(kind, most):
    def parse(text):
        value = kind(text)
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"must lie above 0 and not above {most}, got {text}")
        return value

    parse.__name__ = kind.__name__  # argparse names it in its error
    return parse


def new_file(text):
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder of {text} does not exist")
    return path


def parser():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    p = argparse.ArgumentParser(
        prog="python -m nnlib.bench",
        description="Times of operators and models beside the machine's limits and beside PyTorch.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    mode = p.add_mutually_exclusive_group()
    mode.add_argument("--list", action="store_true", help="print the cases and stop")
    mode.add_argument("--limits", action="store_true", help="measure the machine's limits alone")
    mode.add_argument("--memory", action="store_true", help="peak memory and page faults instead of times")
    mode.add_argument(
        "--load",
        action="store_true",
        help="steps beside a process that keeps one core busy (models by default)",
    )
    p.add_argument("--group", action="append", choices=GROUPS, help="only this group (may be given again)")
    p.add_argument("--match", metavar="TEXT", help="only cases whose name holds TEXT")
    p.add_argument(
        "--threads", type=positive(int, 1024), default=cores, help="default: the cores, %(default)s"
    )
    p.add_argument(
        "--seconds",
        type=positive(float, 60),
        default=0.2,
        help="for each way, library and round (%(default)s)",
    )
    p.add_argument(
        "--rounds", type=positive(int, 100), default=3, help="turns of the libraries (%(default)s)"
    )
    peer = p.add_mutually_exclusive_group()
    peer.add_argument(
        "--compare", choices=["torch"], help="PyTorch beside; the default where it is installed"
    )
    peer.add_argument("--no-compare", action="store_true", help="nnlib alone")
    p.add_argument("--precision", choices=["highest", "high", "medium"], default="",
                   help="set_float32_matmul_precision for nnlib")  # fmt: skip
    p.add_argument("--json", type=new_file, metavar="FILE", help="write everything to FILE")
    p.add_argument("--plot", type=new_file, metavar="FILE.png", help="draw a roofline (needs matplotlib)")
    return p


def library_names(p, args):
    """nnlib, and PyTorch where it was asked for or is installed."""
    installed = importlib.util.find_spec("torch") is not None
    if args.compare and not installed:
        p.error("--compare torch: PyTorch is not installed (pip install torch)")
    return ["nnlib"] if args.no_compare or not installed else ["nnlib", "torch"]


def check(p, args):
    """The cases that were asked for; ends the program where that makes no sense, before anything is measured."""
    if args.plot and (args.list or args.limits or args.memory or args.load):
        p.error("--plot draws times: it cannot go with --list, --limits, --memory or --load")
    if args.json and args.list:
        p.error("--json has nothing to write with --list")
    if args.plot:
        if args.plot.suffix != ".png":
            p.error(f"--plot writes a PNG: the name has to end in .png, got {args.plot}")
        try:
            roofline.require_matplotlib()
        except ImportError as error:
            p.error(f"--plot: {error}")
    groups = args.group or (["model"] if args.load or args.memory and not args.match else [])
    cases = choose(groups, args.match)
    if not cases:
        p.error(
            f"no case of {', '.join(groups) or 'any group'} has '{args.match}' in its name (--list shows all)"
        )
    return cases


def open_libraries(stack, args, names):
    tolerance = {"high": 2e-3, "medium": 2e-2}.get(args.precision, 1e-3)
    libraries = [
        stack.enter_context(Library(name, args.threads, args.precision if name == "nnlib" else ""))
        for name in names
    ]
    return libraries, tolerance


def run_times(args, cases, names, found):
    with contextlib.ExitStack() as stack:
        libraries, tolerance = open_libraries(stack, args, names)
        print(report.heading(names[1] if len(names) > 1 else None), flush=True)
        rows = []
        for case in cases:
            for row in measure.run_case(case, libraries, found, args.seconds, args.rounds, tolerance):
                rows.append(row)
                print(report.row_text(row), flush=True)
        versions = {library.name: library.version for library in libraries}
    print()
    print(*report.summary_text(measure.summary(rows), names[-1]), sep="\n")
    if args.plot:
        roofline.draw(args.plot, found, rows)
    return "rows", [row.as_json() for row in rows], versions


def run_load(args, cases, names):
    with contextlib.ExitStack() as stack:
        libraries, _ = open_libraries(stack, args, names)
        print(load.heading(), flush=True)
        rows = []
        for row in load.measure(cases, libraries, args.seconds, args.rounds):
            rows.append(row)
            print(load.row_text(row), flush=True)
        return "load", rows, {library.name: library.version for library in libraries}


def run_memory(args, cases, names):
    print(memory.heading(), flush=True)
    rows = []
    for row in memory.measure(cases, names, args.threads, args.precision):
        rows.append(row)
        print(memory.row_text(row), flush=True)
    return "memory", rows, {}


def main(argv=None):
    """Run the command line; returns the exit status: 1 when a case failed."""
    p = parser()
    args = p.parse_args(argv)
    cases = check(p, args)
    names = library_names(p, args)
    if args.list:
        for case in CASES if cases is None else cases:
            print(f"{case.group:14s} {case.name}")
        return 0
    found, result = None, ("rows", [], {})
    try:
        if not (args.memory or args.load):
            found = limits.measure(args.threads)
            print(*report.limits_text(found), sep="\n", flush=True)
        if args.memory:
            result = run_memory(args, cases, names)
        elif args.load:
            result = run_load(args, cases, names)
        elif not args.limits:
            result = run_times(args, cases, names, found)
    except Failed as error:
        print(f"python -m nnlib.bench: {error}")
        return 1
    key, rows, versions = result
    if args.json:
        report.write_json(args.json, found, versions, key, rows)
    return 1 if any(row.get("error") for row in rows) else 0
