"""Devices as the functions of this package take them: numbers, strings or devices."""

from nnlib import _C

__all__ = ["device_index", "device_indices"]


def device_index(device):
    """The number of a device; -1 for one without a number (``"cpu"``).

    Raises:
        TypeError: neither a number nor a device.
        AssertionError: there is no such device.
    """
    if isinstance(device, bool) or not isinstance(device, int | str | _C.device):
        raise TypeError(f"expected a device as a number, a string or a device, got {device!r}")
    if not isinstance(device, int):
        device = device if isinstance(device, _C.device) else _C.device(device)
        device = -1 if device.index is None else device.index
    if device < -1:
        raise AssertionError(f"Invalid device id: expected a number from 0 on, got {device}")
    if device >= 0:
        try:
            _C._require_device(device)
        except RuntimeError as error:
            raise AssertionError(f"Invalid device id {device}: {error}") from None
    return device


def device_indices(device_ids):
    """The numbers of devices to divide work over; None means all."""
    if device_ids is None:
        return list(range(_C._device_count()))
    indices = [device_index(device) for device in device_ids]
    if not indices:
        raise ValueError("device_ids is empty: expected at least one device, such as [0], or None for all")
    if -1 in indices:
        raise AssertionError(
            f"Invalid device id: expected devices with numbers (0 or 'cpu:0'), got {list(device_ids)}"
        )
    return indices
