"""Windows of images as columns, and the sum of columns back in an image."""

from nnlib import _C

from .._tuples import to_ntuple


def _check(name, input, ndims, **sizes):
    if input.dim() not in ndims:
        expected = " or ".join(f"{n}D" for n in ndims)
        raise RuntimeError(f"{name}: expected {expected} input, but got input of size {list(input.shape)}")
    for what, values in sizes.items():
        if len(values) != 2:
            raise RuntimeError(f"{name}: expected {what} to be one number or two, but got {values}")
        least = 0 if what == "padding" else 1
        if min(values) < least:
            raise RuntimeError(f"{name}: {what} should be at least {least}, but got {values}")


def _counts(size, kernel, dilation, padding, stride):
    """How many windows fit along each dimension."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of an image as columns. See `nnlib.nn.Unfold`."""
    kernel, dilation, padding, stride = (to_ntuple(v, 2) for v in (kernel_size, dilation, padding, stride))
    _check("unfold", input, (3, 4), kernel_size=kernel, dilation=dilation, padding=padding, stride=stride)
    if input.dim() == 3:
        return unfold(input.unsqueeze(0), kernel, dilation, padding, stride).squeeze(0)
    counts = _counts(input.shape[2:], kernel, dilation, padding, stride)
    if min(counts) <= 0:
        raise RuntimeError(
            f"Given input with spatial size {tuple(input.shape[2:])}, kernel_size={kernel}, "
            f"dilation={dilation}, padding={padding}, calculated shape of the array of sliding blocks as "
            f"{counts}, but its components must be at least one."
        )
    if any(padding):
        input = _C.pad(input, (padding[1], padding[1], padding[0], padding[0]))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    # Views up to here; the reshape makes the one copy.
    windows = input.unfold(2, reach[0], stride[0]).unfold(3, reach[1], stride[1])
    windows = windows[..., :: dilation[0], :: dilation[1]].permute(0, 1, 4, 5, 2, 3)
    return windows.reshape(input.size(0), input.size(1) * kernel[0] * kernel[1], counts[0] * counts[1])


def _places(kernel, dilation, stride, counts, width):
    """Where each element of each window lies in the flattened image: shape (kh kw, windows), flattened."""
    rows, cols = (
        (_C.arange(k) * d).unsqueeze(1) + (_C.arange(n) * s).unsqueeze(0)
        for k, d, s, n in zip(kernel, dilation, stride, counts, strict=True)
    )
    places = rows.reshape(kernel[0], 1, counts[0], 1) * width + cols.reshape(1, kernel[1], 1, counts[1])
    return places.reshape(-1)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The sum of columns, put where their windows lie in an image. See `nnlib.nn.Fold`."""
    size, kernel, dilation, padding, stride = (
        to_ntuple(v, 2) for v in (output_size, kernel_size, dilation, padding, stride)
    )
    sizes = {
        "output_size": size,
        "kernel_size": kernel,
        "dilation": dilation,
        "padding": padding,
        "stride": stride,
    }
    _check("fold", input, (2, 3), **sizes)
    if input.dim() == 2:
        return fold(input.unsqueeze(0), size, kernel, dilation, padding, stride).squeeze(0)
    elements = kernel[0] * kernel[1]
    if input.size(1) % elements:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={input.size(1)} and kernel_size={kernel}."
        )
    counts = _counts(size, kernel, dilation, padding, stride)
    if min(counts) <= 0 or input.size(2) != counts[0] * counts[1]:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, "
            f"stride={stride}, expected size of input's dimension 2 to match the calculated number of "
            f"sliding blocks {counts[0]} * {counts[1]} = {counts[0] * counts[1]}, but got "
            f"input.size(2)={input.size(2)}."
        )
    height, width = (n + 2 * p for n, p in zip(size, padding, strict=True))
    batch, channels = input.size(0), input.size(1) // elements
    columns = input.reshape(batch, channels, elements * input.size(2))
    places = _places(kernel, dilation, stride, counts, width)
    image = _C.zeros((batch, channels, height * width), dtype=input.dtype).index_add(2, places, columns)
    image = image.reshape(batch, channels, height, width)
    return image[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]].contiguous()
