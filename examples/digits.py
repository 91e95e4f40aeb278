"""Train a convolutional network on scikit-learn's handwritten digits, on one process or on many.

    python examples/digits.py
    mpirun -n 2 python examples/digits.py            # each rank takes half of every batch
    mpirun -n 2 python examples/digits.py --resume   # goes on from the last checkpoint

Rank 0 shows the progress, writes a checkpoint after every epoch and at the end a plot. A run that is resumed on
as many ranks has the losses, to the last bit, that the unbroken run would have had; on another number it goes on
with the same weights.
"""

import argparse
import os
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import nnlib
import nnlib.distributed as dist
import nnlib.distributed.checkpoint as dcp
from nnlib import nn
from nnlib.nn import functional as F
from nnlib.nn.parallel import DistributedDataParallel
from nnlib.utils.data import DataLoader, DistributedSampler, TensorDataset


class Net(nn.Module):
    """Three convolutions and two linear layers, from (N, 1, 8, 8) images to (N, 10) scores."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Dropout(0.25),
            nn.Linear(128, 10),
        )

    def forward(self, images):
        return self.classifier(self.features(images))


def load_data():
    """The 1,797 images as two data sets: four fifths to train with, a fifth held out."""
    digits = load_digits()
    images = (digits.images / 16).astype("float32")[:, None]
    labels = digits.target.astype("int64")
    parts = train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = (nnlib.from_numpy(part) for part in parts)
    return TensorDataset(train_x, train_y), TensorDataset(test_x, test_y)


def shifted(images):
    """The images moved by up to one pixel, the same way for the whole batch."""
    down, right = nnlib.randint(0, 3, (2,)).tolist()
    return F.pad(images, (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]


class Trainer:
    """All that a checkpoint has to hold, and the loops."""

    def __init__(self, args):
        self.args = args
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        nnlib.manual_seed(args.seed)
        self.net = Net()
        self.model = DistributedDataParallel(self.net)
        # From here on each rank draws its own dropout and shifts.
        nnlib.manual_seed(args.seed + 1 + self.rank)
        train, test = load_data()
        self.sampler = DistributedSampler(train, seed=args.seed)
        self.train_loader = DataLoader(train, batch_size=args.batch_size // self.world, sampler=self.sampler)
        mine = range(self.rank, len(test), self.world)
        self.test = nnlib.utils.data.Subset(test, mine)
        self.optimizer = nnlib.optim.AdamW(self.model.parameters(), lr=args.lr, weight_decay=0.01)
        self.scheduler = nnlib.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=args.lr, total_steps=args.epochs * len(self.train_loader)
        )
        self.epoch = 0
        self.history = {"loss": [], "accuracy": []}

    def train_epoch(self, bar):
        """One pass over the training data; returns the mean loss over all ranks."""
        self.model.train()
        self.sampler.set_epoch(self.epoch)
        total = nnlib.zeros(2, dtype=nnlib.float64)
        for images, labels in self.train_loader:
            loss = F.cross_entropy(self.model(shifted(images)), labels, label_smoothing=0.05)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            total += nnlib.tensor([loss.item() * len(labels), len(labels)], dtype=nnlib.float64)
            bar.update()
        dist.all_reduce(total)
        return (total[0] / total[1]).item()

    @nnlib.no_grad()
    def evaluate(self):
        """The share of the test images that the network tells right; each rank looks at some of them."""
        self.net.eval()
        count = nnlib.zeros(2)
        for images, labels in DataLoader(self.test, batch_size=256):
            right = (self.net(images).argmax(1) == labels).sum().item()
            count += nnlib.tensor([right, len(labels)])
        dist.all_reduce(count)
        return (count[0] / count[1]).item()

    def state(self):
        """What a checkpoint holds."""
        return {
            "model": self.net,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "sampler": self.sampler,
            "random": dcp.RandomState(),
            "epoch": self.epoch,
            "history": self.history,
            "epochs": self.args.epochs,
            "ranks": self.world,
        }

    def save(self):
        """Rank 0 writes, the others wait: nobody goes on with a step that could be lost."""
        dcp.save(self.state(), checkpoint_id=self.args.output / "digits.pt")

    def resume(self):
        """Go on where the checkpoint was written, with as many ranks as there are now."""
        path = self.args.output / "digits.pt"
        run = {"epochs": None, "ranks": None}
        try:
            dcp.load(run, checkpoint_id=path)
            if run["epochs"] != self.args.epochs:
                raise SystemExit(f"--resume: {path} is of a run with --epochs {run['epochs']}")
            state = self.state()
            dcp.load(state, checkpoint_id=path)
        except (dcp.CheckpointException, ValueError) as error:
            raise SystemExit(f"--resume: there is no checkpoint of this run: {error}") from None
        self.epoch, self.history = state["epoch"], state["history"]
        if run["ranks"] != self.world and self.rank == 0:
            print(
                f"going on with {self.world} ranks after {run['ranks']}: the losses will differ", flush=True
            )

    def fit(self):
        """Train up to the last epoch, or stop before it where the user asked for that."""
        last = min(self.args.epochs, self.args.stop_after or self.args.epochs)
        steps = len(self.train_loader)
        with tqdm(total=last * steps, initial=self.epoch * steps, disable=self.rank > 0, unit="step") as bar:
            while self.epoch < last:
                self.history["loss"].append(self.train_epoch(bar))
                self.history["accuracy"].append(self.evaluate())
                self.epoch += 1
                bar.set_postfix(
                    loss=f"{self.history['loss'][-1]:.4f}", accuracy=f"{self.history['accuracy'][-1]:.1%}"
                )
                self.save()


def plot(history, path):
    """Loss and accuracy by epoch as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    epochs = range(1, len(history["loss"]) + 1)
    figure, left = pyplot.subplots(figsize=(7, 4))
    left.plot(epochs, history["loss"], color="tab:blue")
    left.set(xlabel="epoch", ylabel="training loss")
    left.yaxis.label.set_color("tab:blue")
    right = left.twinx()
    right.plot(epochs, [100 * share for share in history["accuracy"]], color="tab:orange")
    right.set(ylabel="test accuracy in %")
    right.yaxis.label.set_color("tab:orange")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images")
    parser.add_argument(
        "--stop-after", type=int, metavar="EPOCH", help="stop early, with the schedule of --epochs"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images a step, all ranks together")
    parser.add_argument("--lr", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument(
        "--output", type=Path, default=Path("output"), help="folder of the checkpoint and the plot"
    )
    return parser.parse_args()


def main():
    args = parse_args()
    dist.init_process_group("mpi")
    os.makedirs(args.output, exist_ok=True)
    trainer = Trainer(args)
    if args.resume:
        trainer.resume()
    trainer.fit()
    if trainer.rank == 0:
        plot(trainer.history, args.output / "digits.png")
        print(f"test accuracy: {100 * trainer.history['accuracy'][-1]:.1f}%", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
