"""Functions and methods that are imported when first asked for, so that ``import nnlib`` stays quick.

``FUNCTIONS`` names the modules of functions of the package, ``METHODS`` those of functions that are methods of
tensors too.
"""

from __future__ import annotations

import importlib

from . import _C

_LOSSES = "binary_cross_entropy_with_logits cosine_embedding_loss ctc_loss hinge_embedding_loss kl_div"
_WINDOWS = "bartlett_window blackman_window hamming_window hann_window kaiser_window"
_SCATTERS = "as_strided_scatter diagonal_scatter select_scatter slice_scatter"
_UNSAFE = "unsafe_chunk unsafe_split unsafe_split_with_sizes"
_COPIES = (
    "alias as_strided detach diagonal expand permute select slice split split_with_sizes squeeze t transpose unbind "
    "unfold unsqueeze view"
)
_FACTORS = "cholesky_inverse cholesky_solve geqrf lu lu_solve matrix_exp orgqr ormqr pinverse qr svd triangular_solve"
_GAMMA = "igamma igammac mvlgamma"

FUNCTIONS = {
    "serialization": "load save",
    "random": "manual_seed seed initial_seed get_rng_state set_rng_state fork_rng",
    "amp": "autocast GradScaler",
    "_dtypes": "can_cast get_device is_distributed is_inference is_same_size is_signed is_storage promote_types "
    "result_type typename",
    "_reals": "angle conj conj_physical conj_physical_ imag is_conj is_neg isreal real resolve_conj resolve_neg",
    "_settings": "get_autocast_cpu_dtype get_autocast_gpu_dtype get_default_device get_deterministic_debug_mode "
    "get_num_interop_threads is_autocast_cpu_enabled is_deterministic_algorithms_warn_only_enabled "
    "is_warn_always_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_gpu_dtype "
    "set_default_device set_default_tensor_type set_deterministic_debug_mode set_flush_denormal "
    "set_num_interop_threads set_warn_always",
    "_views": f"{_SCATTERS} {_UNSAFE} as_strided_ asarray empty_permuted narrow_copy resize_as_ nonzero_static",
    "_view_copies": " ".join(f"{name}_copy" for name in _COPIES.split()),
    "_integers": "gcd gcd_ lcm lcm_",
    "_samples": "frexp histogram histogramdd segment_reduce vander",
    "_windows": _WINDOWS,
    "_losses": f"{_LOSSES} batch_norm grid_sampler grid_sampler_2d grid_sampler_3d "
    "instance_norm margin_ranking_loss poisson_nll_loss triplet_margin_loss",
    "special": f"i0 i0_ {_GAMMA}",
    "linalg._older": f"{_FACTORS} lu_unpack",
}
METHODS = {
    "_dtypes": "is_distributed",
    "_reals": "angle conj conj_physical conj_physical_ isreal",
    "_functions": "is_nonzero",
    "_views": f"{_SCATTERS} {_UNSAFE} apply_ fill_diagonal_ map_ map2_ narrow_copy new new_tensor nonzero_static",
    "_integers": "gcd gcd_ lcm lcm_",
    "_memory": "dim_order set_ to_sparse_coo",
    "_samples": "frexp histogram",
    "special": f"i0 i0_ {_GAMMA} igamma_ igammac_ mvlgamma_",
    "linalg._older": _FACTORS,
}


def modules_of(table: dict[str, str]) -> dict[str, str]:
    """For each name the module that has it."""
    return {name: module for module, names in table.items() for name in names.split()}


def function_of(module: str, name: str):
    """The function of that name, with TypeErrors for wrong arguments."""
    from ._arguments import check_arguments

    home = importlib.import_module(f".{module}", __package__)
    check_arguments(vars(home), [name])
    return getattr(home, name)


class _Method:
    """A method in waiting: the first who asks for it puts the function in its place."""

    def __init__(self, name: str, module: str):
        self.name, self.module = name, module

    def __get__(self, tensor, owner):
        function = function_of(self.module, self.name)
        setattr(_C.Tensor, self.name, function)
        return function if tensor is None else function.__get__(tensor, owner)


def add_methods(kind: type) -> None:
    """Give the class of tensors the methods of the table."""
    for name, module in modules_of(METHODS).items():
        setattr(kind, name, _Method(name, module))
