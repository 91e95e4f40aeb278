"""The examples of the notes that the library grew from, in the form in which they stand there, with torch
replaced.

What an example leaves undefined is supplied before it. Lines that start with "# =>" are what it printed
there; where the values are random only their form is compared.
"""

import contextlib
import inspect
import io
import re
import subprocess
import sys
import textwrap

import pytest

import nnlib as torch
import nnlib.nn as nn


def printed(code, **names):
    """Run an example; returns its names and what it printed."""
    names = {"torch": torch, "nn": nn, **names}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(inspect.cleandoc(code), names)
    return names, out.getvalue()


def test_state_dict_and_modes():
    module = nn.Linear(2, 2)
    assert set(module.state_dict().keys()) == {"bias", "weight"}
    assert set(module.state_dict(destination=None, prefix="", keep_vars=False)) == {"bias", "weight"}
    result = module.load_state_dict(state_dict=module.state_dict(), strict=True)
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert module.train(mode=True).training and not module.eval().training


TEST_MODEL = """
class TestModel(nn.Module):
    def __init__(self):
        super(TestModel, self).__init__()
        self.conv1 = nn.Conv2d(3, 64, 3)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(64, 128, 3)
"""


def test_named_children():
    _, text = printed(
        TEST_MODEL
        + """
model = TestModel()
for named_children in model.named_children():
    print(named_children)
"""
    )
    assert text == (
        "('conv1', Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1)))\n"
        "('relu', ReLU())\n"
        "('conv2', Conv2d(64, 128, kernel_size=(3, 3), stride=(1, 1)))\n"
    )


def test_children():
    _, text = printed(
        TEST_MODEL
        + """
def has_children(module):
    try:
        next(module.children())
        print("Iterator `module.children()`:", module.children())
        return True
    except StopIteration:
        print("{} is not an Iterator".format(module))
        return False

class TestModel_Parent(nn.Module):
    def __init__(self):
        super(TestModel_Parent, self).__init__()
        self.conv1 = nn.Conv2d(3, 64, 3)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(64, 128, 3)
        self.model_chilren = TestModel()

model_parent = TestModel_Parent()
for name, module in model_parent.named_children():
    if has_children(module):
        pass
"""
    )
    lines = text.splitlines()
    assert lines[:3] == [
        "Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1)) is not an Iterator",
        "ReLU() is not an Iterator",
        "Conv2d(64, 128, kernel_size=(3, 3), stride=(1, 1)) is not an Iterator",
    ]
    assert re.fullmatch(
        r"Iterator `module\.children\(\)`: <generator object \w+\.children at 0x[0-9a-fA-F]+>", lines[3]
    )


def test_apply():
    names, text = printed(
        """
        @torch.no_grad()
        def init_weights(m):
            print(m)
            if type(m) == nn.Linear:
                m.weight.fill_(1.0)
                print(m.weight)

        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        net.apply(init_weights)
        """
    )
    layer = (
        "Linear(in_features=2, out_features=2, bias=True)\n"
        "Parameter containing:\n"
        "tensor([[1., 1.],\n"
        "        [1., 1.]], requires_grad=True)\n"
    )
    assert text == 2 * layer + repr(names["net"]) + "\n"


def test_register_forward_hook():
    seen = []

    def hook(module, input, output):
        seen.append((type(input), output.shape))
        return output + 1

    net = nn.Linear(2, 3)
    x = torch.zeros(4, 2)
    plain = net(x)
    handle = net.register_forward_hook(hook)
    assert torch.equal(net(x), plain + 1) and seen == [(tuple, (4, 3))]
    handle.remove()
    assert torch.equal(net(x), plain)


def test_data_parallel():
    model = nn.Linear(3, 2)
    input_var = torch.rand(6, 3)
    net = torch.nn.DataParallel(model, device_ids=[0])
    output = net(input_var)  # input_var can be on any device, including CPU
    assert torch.equal(output, model(input_var)) and net.module is model
    assert torch.nn.DataParallel(module=model, device_ids=None, output_device=None, dim=0)(
        input_var
    ).shape == (6, 2)
    try:
        net = torch.nn.DataParallel(model, device_ids=[0, 1, 2])
        assert torch.allclose(net(input_var), model(input_var), atol=1e-6)
    finally:
        torch.set_device_partition(0)


def test_cross_entropy_loss():
    _, text = printed(
        """
        loss_func = nn.CrossEntropyLoss(reduction="none")
        output = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float32, requires_grad=True)
        # output = torch.ones([3, 3])
        target = torch.arange(3, dtype=torch.long)
        loss = loss_func(output, target)
        print(loss)
        """
    )
    assert text == "tensor([0.5514, 0.5514, 0.5514], grad_fn=<NllLossBackward0>)\n"


def test_cross_entropy_loss_older_arguments():
    scores, target = torch.eye(3), torch.arange(3)
    value = 0.5514447
    with pytest.warns(DeprecationWarning):
        summed = nn.CrossEntropyLoss(None, False, -100, None, "mean")(scores, target)
    assert summed.item() == pytest.approx(3 * value)
    with pytest.warns(DeprecationWarning):
        each = nn.CrossEntropyLoss(weight=None, size_average=None, ignore_index=-100, reduce=False)
    assert each(scores, target).tolist() == pytest.approx([value] * 3)


NUMBER = r"\s*-?\d+\.\d{4}"


def test_embedding():
    _, text = printed(
        """
        embedding = nn.Embedding(10, 3)
        input = torch.LongTensor([[0, 1],[2, 3]])  # get the 1st, 2nd vector in the 1st batch, ...
        print(embedding(input))
        print(embedding.weight)
        """
    )
    row = rf"\[{NUMBER},{NUMBER},{NUMBER}\]"
    looked_up = (
        rf"tensor\(\[\[{row},\n +{row}\],\n\n +\[{row},\n +{row}\]\], grad_fn=<EmbeddingBackward0>\)\n"
    )
    table = rf"Parameter containing:\ntensor\(\[{row}(,\n +{row}){{9}}\], requires_grad=True\)\n"
    assert re.fullmatch(looked_up + table, text), text


def test_embedding_with_padding_idx():
    names, text = printed(
        """
        # example with padding_idx
        embedding = nn.Embedding(10, 3, padding_idx=3)
        input = torch.LongTensor([3, 2, 1, 0, 1, 2, 3])
        print(embedding(input))
        """
    )
    rows = names["embedding"](names["input"])
    assert rows.shape == (7, 3) and not rows[0].any() and not rows[6].any() and rows[1].any()
    assert text.count("[ 0.0000,  0.0000,  0.0000]") == 2, text


def test_linear():
    _, text = printed(
        """
        m = nn.Linear(20, 30)
        input = torch.randn(128, 20)
        output = m(input)
        print(output.size())
        """
    )
    assert text == "torch.Size([128, 30])\n"


def test_conv2d_arguments_of_the_notes():
    conv = nn.Conv2d(
        in_channels=4,
        out_channels=8,
        kernel_size=(3, 3),
        stride=1,
        padding=1,
        dilation=1,
        groups=4,
        bias=True,
        padding_mode="zeros",
    )
    assert conv.weight.shape == (8, 1, 3, 3) and conv(torch.zeros(2, 4, 5, 5)).shape == (2, 8, 5, 5)
    bound = (4 / (4 * 9)) ** 0.5
    assert conv.weight.abs().max().item() <= bound and conv.bias.abs().max().item() <= bound


def test_distributed_data_parallel():
    """In a process of its own: MPI can be started only once in one."""
    code = """
    import warnings
    import nnlib as torch

    warnings.simplefilter("ignore", DeprecationWarning)
    torch.distributed.init_process_group(backend="mpi")
    model, pg = torch.nn.Linear(3, 2), torch.distributed.group.WORLD
    net = torch.nn.DistributedDataParallel(model, pg)
    net(torch.ones(4, 3)).sum().backward()
    assert model.weight.grad.tolist() == [[4.0] * 3] * 2
    torch.distributed.destroy_process_group()
    print("done")
    """
    pytest.importorskip("mpi4py", reason="needs mpi4py (nnlib[mpi])")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert run.stdout.strip() == "done", run.stderr
