"""The plot: steps against ranks, here and on a cluster, and steps against sizes of buckets."""

from .model import best_bucket, cluster, predict


def draw(path, compared, program, machine, args):
    """Writes the picture; ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    there = cluster(machine, args.node_ranks, args.latency, args.message, args.bandwidth)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    here, measured, computed, _ = zip(*compared, strict=True)
    left.plot(here, [1e3 * t for t in computed], "-", label="computed, this machine")
    left.plot(here, [1e3 * t for t in measured], "o", label="measured, this machine")
    ranks = [2**i for i in range(11)]
    best = [best_bucket(program, there, n)[0] for n in ranks]
    steps = [1e3 * predict(program, there, n, b).step for n, b in zip(ranks, best, strict=True)]
    left.plot(ranks, steps, "--", label="computed, cluster")
    left.set(xscale="log", xlabel="ranks", ylabel="ms a step", ylim=(0, None), title="Time of a step")
    left.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
    left.legend()
    for n in (64, 1024):
        sizes, times = zip(*best_bucket(program, there, n)[1].items(), strict=True)
        right.plot(sizes, [1e3 * t for t in times], "o-", label=f"{n} ranks")
    right.set(xscale="log", xlabel="bucket_cap_mb", ylabel="ms a step", title="Buckets on the cluster")
    right.legend()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
