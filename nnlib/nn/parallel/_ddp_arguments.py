"""The arguments of DistributedDataParallel: today's, those of older releases, and those that are refused."""

import warnings

from ...distributed import ProcessGroup

_UNSUPPORTED = {
    "dim": 0,
    "mixed_precision": None,
    "batched_grad_copy": False,
}


def settle_arguments(given):
    """Checks the arguments, given by name, and puts those of older releases in today's places."""
    for name, default in _UNSUPPORTED.items():
        if given[name] != default:
            raise NotImplementedError(
                f"DistributedDataParallel does not support {name}={given[name]!r}: leave it at {default!r}"
            )
    _move_old_order(given)
    _take_mesh(given)
    if (given["delay_all_reduce_named_params"] is None) != (given["param_to_hook_all_reduce"] is None):
        raise ValueError(
            "delay_all_reduce_named_params and param_to_hook_all_reduce need to be set at the same time."
        )
    if given["skip_all_reduce_unused_params"] and not given["find_unused_parameters"]:
        raise ValueError("skip_all_reduce_unused_params=True needs find_unused_parameters=True")
    if given["device_ids"] or given["output_device"] is not None:
        raise ValueError(
            "DistributedDataParallel device_ids and output_device arguments only work with single-device/"
            "multiple-device GPU modules: for a CPU module they must be None, but got device_ids "
            f"{given['device_ids']}, output_device {given['output_device']}"
        )
    for first, second in (
        ("broadcast_buffers", "forward_sync_buffers"),
        ("bucket_cap_mb", "bucket_cap_mb_list"),
    ):
        if given[first] is not None and given[second] is not None:
            raise ValueError(f"give {first} or {second}, which say the same, not both")


def _take_mesh(given):
    mesh = given["device_mesh"]
    if mesh is None:
        return
    if given["process_group"] is not None:
        raise RuntimeError("Cannot specify both process_group and device_mesh arguments.")
    if mesh.ndim != 1:
        raise RuntimeError(f"Only 1D device mesh is supported, but got {mesh}.")
    given["process_group"] = mesh.get_group()


def _move_old_order(given):
    """Older code gives the process group second, or sixth with what followed it then; types tell."""
    if isinstance(given["device_ids"], ProcessGroup):
        moved, given["device_ids"] = given["device_ids"], None
    elif isinstance(given["init_sync"], ProcessGroup):
        # Next came bucket_cap_mb, find_unused_parameters, check_reduction. What follows the last argument given by
        # position is given by name, and is in its place already.
        moved, given["init_sync"] = given["init_sync"], True
        if given["process_group"] is not None:
            if isinstance(given["bucket_cap_mb"], bool):
                given["check_reduction"] = given["check_reduction"] or given["find_unused_parameters"]
                given["find_unused_parameters"] = given["bucket_cap_mb"]
            given["bucket_cap_mb"], given["process_group"] = given["process_group"], None
    else:
        return
    if given["process_group"] is not None:
        raise TypeError("DistributedDataParallel got two process groups")
    given["process_group"] = moved
    _warn(
        "a process group given to DistributedDataParallel by position is the order of older releases; "
        "write process_group=..."
    )


def _warn(text):
    warnings.warn(text, DeprecationWarning, stacklevel=5)
