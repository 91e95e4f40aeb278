"""Train a small GPT on the source text of Python's standard library, byte by byte, and let it write some.

    python examples/gpt.py
    mpirun -n 2 python examples/gpt.py --steps 1000

Each rank reads other parts of the text; the gradients are averaged.
Model: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, with layer norm first.
"""

import argparse
import sysconfig
from pathlib import Path

from tqdm import trange

import nnlib
import nnlib.distributed as dist
from nnlib import nn
from nnlib.nn import functional as F
from nnlib.nn.parallel import DistributedDataParallel

VOCABULARY = 256  # a token is a byte


class Block(nn.Module):
    """Attention to what came before, then two linear layers; each adds to its input."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attention(self, x):
        n, length, width = x.shape
        heads = (n, length, self.heads, width // self.heads)
        q, k, v = (part.reshape(heads).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """From (N, L) bytes to (N, L, 256) scores of the byte that follows each."""

    def __init__(self, context, width, heads, layers):
        super().__init__()
        self.context = context
        self.token, self.position = nn.Embedding(VOCABULARY, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)
        for embedding in (self.token, self.position):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens):
        positions = nnlib.arange(tokens.shape[1])
        return self.head(self.norm(self.blocks(self.token(tokens) + self.position(positions))))

    @nnlib.no_grad()
    def write(self, prompt, count, temperature=0.7):
        """`prompt` (text) with `count` more bytes, each drawn from what the model thinks of it."""
        tokens = nnlib.tensor(list(prompt.encode()))
        for _ in range(count):
            scores = self(tokens[-self.context :].unsqueeze(0))[0, -1] / temperature
            tokens = nnlib.cat([tokens, nnlib.multinomial(F.softmax(scores, dim=-1), 1)])
        return bytes(tokens.tolist()).decode(errors="replace")


def read_text(limit):
    """Up to `limit` bytes of the standard library's own modules, as a tensor of int64."""
    folder = Path(sysconfig.get_path("stdlib"))
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    return nnlib.frombuffer(bytearray(text[:limit]), dtype=nnlib.uint8).long()


def batch(text, size, context):
    """Random pieces of the text, and the same pieces one byte further on."""
    starts = nnlib.randint(0, len(text) - context - 1, (size,)).tolist()
    pieces = nnlib.stack([text[start : start + context + 1] for start in starts])
    return pieces[:, :-1].contiguous(), pieces[:, 1:].contiguous()


def train(model, text, args, quiet):
    """Train for `args.steps` steps; returns the loss of the last ones."""
    optimizer = nnlib.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.1, betas=(0.9, 0.95))
    scheduler = nnlib.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=args.steps)
    smooth = None
    with trange(args.steps, disable=quiet, unit="step") as bar:
        for _ in bar:
            inputs, targets = batch(text, args.batch_size, args.context)
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            smooth = loss.item() if smooth is None else 0.95 * smooth + 0.05 * loss.item()
            bar.set_postfix(loss=f"{smooth:.3f}")
    return smooth


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=16, help="pieces of text a step and rank")
    parser.add_argument("--context", type=int, default=64, help="bytes that the model sees at once")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--text", type=int, default=4_000_000, help="at most so many bytes of text")
    parser.add_argument("--sample", type=int, default=300, help="bytes to write at the end")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    dist.init_process_group("mpi")
    rank = dist.get_rank()
    nnlib.manual_seed(args.seed)
    net = GPT(args.context, args.width, args.heads, args.layers)
    nnlib.manual_seed(args.seed + 1 + rank)
    text = read_text(args.text)
    loss = train(DistributedDataParallel(net), text, args, quiet=rank > 0)
    if rank == 0:
        net.eval()
        print(net.write("def ", args.sample))
        print(f"loss: {loss:.3f} nats a byte after {args.steps} steps", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
