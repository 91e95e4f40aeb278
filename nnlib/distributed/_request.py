"""What a rank asks of its group: the signature that all ranks must share, and what to do once they do."""

import numpy as np

# In the order of core/dtype.h and rank_reduce.h: a dtype and an operation travel as these numbers.
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
ITEM_BYTES = (1, 1, 1, 2, 4, 8, 2, 2, 4, 8)
WIDE_BYTES = (1, 1, 1, 2, 4, 8, 4, 4, 4, 8)  # of the type in which it is summed
REDUCE_OPS = ("SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR")
OPERATIONS = (
    "barrier", "broadcast", "all_reduce", "reduce", "all_gather", "gather", "scatter", "reduce_scatter",
    "all_to_all", "new_group", "share_memory", "send", "recv",
)  # fmt: skip

INLINE = 448  # bytes that travel with the signature: small collectives need no second exchange
HEADER = np.dtype(
    [
        ("sequence", "<i8"), ("operation", "<i4"), ("dtype", "<i4"), ("reduce_op", "<i4"), ("root", "<i4"),
        ("count", "<i8"), ("digest", "<i8"), ("forwards", "<i8"), ("spare", "<i8", 2), ("payload", "u1", INLINE),
    ]
)  # fmt: skip
SIGNED = 40  # leading bytes of a header that must be the same on all ranks
assert HEADER.itemsize == 512 and HEADER.fields["forwards"][1] == SIGNED


class Request:
    """One collective or transfer, as it stands in the queue of a group.

    operation, dtype, reduce_op, root, count, digest: the signature; ranks compare it before data moves.
    payload: (address, bytes) of what this rank contributes, when that is at most INLINE bytes.
    body: a generator function of (transport, headers of all ranks) that moves the data.
    finish: called in the communication thread when the data is there.
    keep: objects whose memory the transfer uses.
    forwards: how many forward passes led to these gradients, 0 where that is not known; shown to the others.
    """

    __slots__ = ("operation", "dtype", "reduce_op", "root", "count", "digest", "timeout", "payload", "body",
                 "finish", "keep", "exclusive", "peer", "forwards")  # fmt: skip

    def __init__(self, operation, *, timeout, dtype=-1, reduce_op=-1, root=-1, count=0, digest=0,
                 payload=None, body=None, finish=None, keep=(), peer=None, forwards=0):  # fmt: skip
        self.operation, self.dtype, self.reduce_op, self.root = operation, dtype, reduce_op, root
        self.count, self.digest, self.timeout, self.payload = count, digest, timeout, payload
        self.body, self.finish, self.keep, self.peer = body, finish, keep, peer
        self.forwards = forwards
        self.exclusive = operation not in ("send", "recv")

    def release(self):
        """Drops what the transfer kept alive."""
        self.keep = self.body = self.finish = None

    def write(self, header, sequence):
        """Writes the signature and the payload into a header that is about to be sent."""
        header["sequence"], header["operation"] = sequence, OPERATIONS.index(self.operation)
        header["dtype"], header["reduce_op"], header["root"] = self.dtype, self.reduce_op, self.root
        header["count"], header["digest"], header["forwards"] = self.count, self.digest, self.forwards


def describe(header):
    """A signature in words: "all_reduce(SUM, float32, 10 values)"."""
    parts = []
    if header["reduce_op"] >= 0:
        parts.append(REDUCE_OPS[header["reduce_op"]])
    if header["dtype"] >= 0:
        count = int(header["count"])
        parts += [DTYPES[header["dtype"]], f"{count} value" + "s" * (count != 1)]
    if header["root"] >= 0:
        parts.append(f"root {header['root']}")
    return f"{OPERATIONS[header['operation']]}({', '.join(parts)})"


def mismatch_error(headers, group_name, ranks):
    """The error text for ranks that called different collectives; None when all called the same."""
    calls = {}
    for rank, header in zip(ranks, headers, strict=True):
        calls.setdefault(header.tobytes()[:SIGNED], (header, []))[1].append(rank)
    if len(calls) == 1:
        return None
    texts = [
        f"rank{'s' * (len(who) > 1)} {', '.join(map(str, who))} called {describe(header)} as number "
        f"{header['sequence']}"
        for header, who in calls.values()
    ]
    if len({text.split(" called ")[1] for text in texts}) == 1:
        texts.append("the calls differ in the sizes or names that belong to them")
    return f"ranks of group {group_name!r} called different collectives: {'; '.join(texts)}"


def uneven_forwards(headers, ranks):
    """What to say of ranks that average gradients after different numbers of forward passes."""
    counts = {}
    for rank, header in zip(ranks, headers, strict=True):
        counts.setdefault(int(header["forwards"]), []).append(rank)
    texts = [
        f"rank{'s' * (len(who) > 1)} {', '.join(map(str, who))} after {n} forward pass{'es' * (n != 1)}"
        for n, who in sorted(counts.items())
    ]
    return f"gradients were averaged that come on {', on '.join(texts)}: was a backward pass skipped?"
