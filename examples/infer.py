"""Read handwritten digits with the network that examples/digits.py trained.

    python examples/infer.py [output/digits.pt]

Only the saved file and the class of the network are needed: no optimizer, no process group. The file may be
one that PyTorch wrote: either a checkpoint of examples/digits.py or the state dict alone.
"""

import sys
from pathlib import Path

from digits import Net, load_data

import nnlib

SHADES = " .:-=+*#%@"


def drawn(image):
    """An (8, 8) image with values from 0 to 1 as lines of text."""
    return ["".join(SHADES[min(int(value * 10), 9)] * 2 for value in row) for row in image.tolist()]


def main():
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "output/digits.pt")
    if not path.exists():
        raise SystemExit(f"there is no file {path}; examples/digits.py writes one")
    saved = nnlib.load(path)
    net = Net()
    net.load_state_dict(saved.get("model", saved))
    net.eval()
    _, test = load_data()
    images, labels = test.tensors
    with nnlib.inference_mode():
        confidence, guesses = nnlib.softmax(net(images), dim=1).max(dim=1)
    for image, guess, share in list(zip(images, guesses.tolist(), confidence.tolist(), strict=True))[:3]:
        print("\n".join(drawn(image[0])))
        print(f"this is a {guess} ({share:.0%} sure)\n")
    right = (guesses == labels).sum().item()
    print(f"{right} of {len(labels)} test images read right ({right / len(labels):.1%})")


if __name__ == "__main__":
    main()
