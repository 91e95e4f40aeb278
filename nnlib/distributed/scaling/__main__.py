"""The program: ``mpirun -n 4 python -m nnlib.distributed.scaling``."""

import argparse
import json
import os
import statistics

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
    p.add_argument("--rounds", type=int, default=15, help="in each, all numbers of ranks have their turn")
    p.add_argument("--steps", type=int, default=3, help="steps of a turn")
    p.add_argument("--node-ranks", type=int, default=16, help="ranks on each node of the computed cluster")
    p.add_argument("--latency", type=float, default=2e-6, help="seconds of a message between its nodes")
    p.add_argument("--message", type=float, default=1e-6, help="seconds that each further message costs")
    p.add_argument("--bandwidth", type=float, default=3e9, help="bytes a second of a node's link")
    way = p.add_mutually_exclusive_group(required=True)
    way.add_argument(
        "--json", metavar="FILE", help="measure with 1, 2, 4 ... of these ranks, and write the file"
    )
    way.add_argument("--read", metavar="FILE", help="compute from such a file, and print")
    p.add_argument("--plot", metavar="FILE", help="with --read: draw it too (needs matplotlib)")
    return p.parse_args()


def measure_here(args):
    """What these ranks can measure, a dict."""
    world = dist.get_world_size()
    found = {"cores": len(os.sched_getaffinity(0))}
    if dist.get_rank() == 0:
        found["sum_rate"] = measure.measure_sum_rate()
        found["arrivals"] = measure.measure_arrivals(args.model)
    dist.barrier()
    found["rounds"] = measure.measure_rounds(args.model, args.rounds, args.steps)
    if world > 1:
        pair = dist.new_group([0, 1])
        if dist.get_rank() < 2:
            found["meeting"] = measure.measure_meeting(pair)
            found["message"] = measure.measure_messages()
        dist.barrier()
    return found


def settle(found):
    """For each round the Program and the Machine that were measured in it."""
    if "meeting" not in found or any("crowded" not in one for one in found["rounds"]):
        raise SystemExit(
            "the file lacks steps of two ranks, or of as many as there are cores: measure with more ranks"
        )
    pairs = []
    for one in found["rounds"]:
        before, backward, after = one["parts"]
        arrivals = tuple((share * backward, size) for share, size in found["arrivals"])
        crowding = max(1.0, one["crowded"] / (before + backward + after))
        uneven = one["slowest"] / one["crowded"]
        machine = Machine(found["cores"], 1 << 20, crowding, found["meeting"], found["sum_rate"], uneven)
        pairs.append((Program(before, backward, after, arrivals), machine))
    return pairs


def typical(pairs):
    """The round in the middle by what a step of one rank takes."""
    order = sorted(pairs, key=lambda pair: predict(*pair, 1).step * pair[1].crowding)
    return order[len(order) // 2]


def compare(found, pairs):
    """For each number of ranks: seconds measured, computed, and the difference as a share; medians over the rounds."""
    for n in found["rounds"][0]["steps"]:
        measured = [one["steps"][n] for one in found["rounds"]]
        computed = [predict(*pair, int(n)).step for pair in pairs]
        differences = [c / m - 1 for c, m in zip(computed, measured, strict=True)]
        yield int(n), *map(statistics.median, (measured, computed, differences))


def report(found, args):
    """The lines of the report."""
    pairs = settle(found)
    program, machine = typical(pairs)
    yield (
        f"one rank alone: {1e3 * program.before:.1f} ms before backward, {1e3 * program.backward:.1f} ms backward, "
        f"{1e3 * program.after:.1f} ms after; {program.bytes() / 1e6:.1f} MB of gradients"
    )
    yield (
        f"{machine.cores} cores; sums {machine.sum_rate / 1e9:.1f} GB/s a core, "
        f"meetings {1e6 * machine.meeting:.0f} us, "
        f"messages through MPI {1e6 * found['message'][0]:.0f} us and {found['message'][1] / 1e9:.1f} GB/s, "
        f"{machine.crowding:.2f} times as long when every core computes, "
        f"{machine.uneven:.2f} times that for the slowest"
    )
    yield "ranks  measured ms  computed ms  difference"
    for n, seconds, step, difference in compare(found, pairs):
        yield f"{n:>5}  {1e3 * seconds:11.1f}  {1e3 * step:11.1f}  {100 * difference:+9.1f}%"
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


def main():
    """Measures, or reads and prints."""
    args = arguments()
    if args.read:
        with open(args.read) as file:
            found = json.load(file)
        print("\n".join(report(found, args)))
        if args.plot:
            pairs = settle(found)
            draw(args.plot, list(compare(found, pairs)), *typical(pairs), args)
        return
    set_num_threads(1)
    dist.init_process_group()
    found = measure_here(args)
    if dist.get_rank() == 0:
        with open(args.json, "w") as file:
            json.dump(found, file)
        print(f"{args.json}: {args.rounds} rounds of up to {dist.get_world_size()} ranks", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
