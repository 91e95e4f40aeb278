"""The program: ``mpirun -n 2 python -m nnlib.distributed.scaling``."""

import argparse
import json
import os
from dataclasses import asdict

from ... import distributed as dist
from ... import set_num_threads
from . import measure
from .model import Machine, Program, best_bucket, cluster, predict
from .plot import draw

SIZES = (1, 2, 4, 16, 64, 256, 1024)


def arguments():
    """What the command line says."""
    p = argparse.ArgumentParser(prog="python -m nnlib.distributed.scaling", description=__doc__)
    p.add_argument("--model", choices=("gpt", "mlp"), default="gpt", help="a GPT of 4 layers, or a wide MLP")
    p.add_argument("--steps", type=int, default=30, help="steps of each measurement")
    p.add_argument("--node-ranks", type=int, default=16, help="ranks on each node of the computed cluster")
    p.add_argument("--latency", type=float, default=2e-6, help="seconds of a message between its nodes")
    p.add_argument("--message", type=float, default=1e-6, help="seconds that each further message costs")
    p.add_argument("--bandwidth", type=float, default=3e9, help="bytes a second of a node's link")
    way = p.add_mutually_exclusive_group(required=True)
    way.add_argument("--json", metavar="FILE", help="measure with these ranks, and add it to the file")
    way.add_argument("--read", metavar="FILE", help="compute from such a file, and print")
    p.add_argument("--plot", metavar="FILE", help="with --read: draw it too (needs matplotlib)")
    return p.parse_args()


def measure_here(args, found):
    """Adds to the dict what this number of ranks can measure."""
    world = dist.get_world_size()
    cores = found["cores"] = len(os.sched_getaffinity(0))
    if world == 1:
        found["program"] = asdict(measure.measure_program(args.model, args.steps))
        found["sum_rate"] = measure.measure_sum_rate()
    if world == 2:
        found["meeting"] = measure.measure_meeting()
        found["message"] = measure.measure_messages()
    if world == cores:
        found["crowded"] = measure.measure_computing(args.model, args.steps)
    found.setdefault("steps", {})[str(world)] = measure.measure_step(args.model, args.steps)


def settle(found):
    """The Program and the Machine of what was measured."""
    missing = [what for what in ("program", "meeting", "crowded") if what not in found]
    if missing:
        raise SystemExit(
            f"the file lacks {', '.join(missing)}: measure with 1 rank, with 2, and with as many as there are cores"
        )
    program = Program(**found["program"])
    crowding = max(1.0, found["crowded"] / (program.before + program.backward + program.after))
    return program, Machine(found["cores"], 1 << 20, crowding, found["meeting"], found["sum_rate"])


def report(found, args):
    """The lines of the report."""
    program, machine = settle(found)
    yield (
        f"one rank alone: {1e3 * program.before:.1f} ms before backward, {1e3 * program.backward:.1f} ms backward, "
        f"{1e3 * program.after:.1f} ms after; {program.bytes() / 1e6:.1f} MB of gradients"
    )
    yield (
        f"{machine.cores} cores; sums {machine.sum_rate / 1e9:.1f} GB/s a core, "
        f"meetings {1e6 * machine.meeting:.0f} us, "
        f"messages through MPI {1e6 * found['message'][0]:.0f} us and {found['message'][1] / 1e9:.1f} GB/s, "
        f"{machine.crowding:.2f} times as long when every core computes"
    )
    yield "ranks  measured ms  computed ms  difference"
    for n, seconds in found["steps"].items():
        step = predict(program, machine, int(n)).step
        yield f"{n:>5}  {1e3 * seconds:11.1f}  {1e3 * step:11.1f}  {100 * (step / seconds - 1):+9.1f}%"
    there = cluster(machine, args.node_ranks, args.latency, args.message, args.bandwidth)
    yield (
        f"nodes of {args.node_ranks} ranks with a core each, {args.bandwidth / 1e9:g} GB/s a node, "
        f"{1e6 * args.latency:g} us a message:"
    )
    full = best_bucket(program, there, args.node_ranks)[1]
    yield "ranks  computed ms  against a full node  hidden  best bucket MiB  step at 1 MiB  at 25 MiB"
    for n in SIZES:
        size, steps = best_bucket(program, there, n)
        p = predict(program, there, n, size)
        yield (
            f"{n:>5}  {1e3 * p.step:11.2f}  {min(full.values()) / p.step:19.3f}  {p.hidden:6.2f}  "
            f"{size:15g}  {1e3 * steps[1]:13.2f}  {1e3 * steps[25]:9.2f}"
        )


def load(path):
    """What the file holds; nothing where there is none yet."""
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return json.load(file)


def main():
    """Measures, or reads and prints."""
    args = arguments()
    if args.read:
        found = load(args.read)
        print("\n".join(report(found, args)))
        if args.plot:
            draw(args.plot, found, *settle(found), args)
        return
    set_num_threads(1)
    dist.init_process_group()
    found = load(args.json) if dist.get_rank() == 0 else {}
    measure_here(args, found)
    if dist.get_rank() == 0:
        with open(args.json, "w") as file:
            json.dump(found, file)
        print(f"{args.json}: a step of {dist.get_world_size()} ranks and what goes with it", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
