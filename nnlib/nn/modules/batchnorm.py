"""Batch normalisation."""

from nnlib import _C

from .. import functional as F
from .. import init
from ..parameter import UninitializedBuffer, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module
from .utils import new_parameter

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "SyncBatchNorm",
]


class _NormBase(Module):
    """What batch and instance normalisation share: the affine parameters and the running statistics."""

    _version = 2  # since then the number of batches is part of the state
    _dims = ()  # how many dimensions an input may have
    __constants__ = ["track_running_stats", "momentum", "eps", "num_features", "affine"]

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        factory = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, new_parameter((num_features,), **factory) if wanted else None)
        track = track_running_stats
        self.register_buffer("running_mean", _C.zeros(num_features, **factory) if track else None)
        self.register_buffer("running_var", _C.ones(num_features, **factory) if track else None)
        count = _C.zeros((), dtype=_C.int64, device=device) if track else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self):
        """Forget what was seen: mean 0, variance 1, no batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self):
        """Set the weight to 1 and the bias to 0, and forget the running statistics."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input):
        if input.dim() not in self._dims:
            expected = " or ".join(f"{n}D" for n in self._dims)
            raise ValueError(f"expected {expected} input (got {input.dim()}D input)")

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        key = prefix + "num_batches_tracked"
        if (local_metadata.get("version") or 0) < 2 and self.track_running_stats and key not in state_dict:
            count = self.num_batches_tracked
            state_dict[key] = _C.zeros((), dtype=_C.int64) if count is None else count
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase):
    """Normalises each channel over the batch and all positions, then scales and shifts it:
    :math:`y = (x - mean) / \\sqrt{var + eps} \\; weight + bias`.

    In training the statistics are the batch's own, and move the running ones by `momentum`; in evaluation
    mode they are the running ones. The variance of the batch is the biased one, the running variance the
    unbiased one.

    Args:
        num_features (int): number of channels C.
        eps (float): added to the variance. Default: 1e-5.
        momentum (float or None): share of the new value in the running one; None: a plain mean of all.
            Default: 0.1.
        affine (bool): learn weight and bias. Default: ``True``.
        track_running_stats (bool): keep running statistics; without, the batch's own are always used.
            Default: ``True``.
        device, dtype: of the parameters.
        bias (bool): learn a bias, if affine. Default: ``True``.

    Shape:
        input {shape}; the output is the same.

    Attributes:
        weight, bias: shape (C), start at 1 and 0.
        running_mean, running_var, num_batches_tracked: buffers.

    Raises:
        ValueError: another number of dimensions, or a single value per channel in training.

    Source: Ioffe and Szegedy, "Batch normalization" (2015).

    Example::

        >>> import nnlib
        >>> nnlib.nn.{name}(4)(nnlib.randn({size})).shape
        torch.Size([{size}])
    """

    def _batch_norm_arguments(self):
        """(running_mean, running_var, training, momentum) of this call; it counts the batch."""
        tracked = self.track_running_stats
        training = self.training
        momentum = 0.0 if self.momentum is None else self.momentum
        mean, var = self.running_mean, self.running_var
        if training and tracked and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        if training and not tracked:
            mean = var = None
        return mean, var, training or (self.running_mean is None and self.running_var is None), momentum

    def forward(self, input):
        self._check_input_dim(input)
        mean, var, training, momentum = self._batch_norm_arguments()
        return F.batch_norm(input, mean, var, *self._weight_and_bias(), training, momentum, self.eps)


def _doc(name, shape, size):
    return _BatchNorm.__doc__.replace("{name}", name).replace("{shape}", shape).replace("{size}", size)


class BatchNorm1d(_BatchNorm):
    __doc__ = _doc("BatchNorm1d", "(N, C) or (N, C, L)", "3, 4")
    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = _doc("BatchNorm2d", "(N, C, H, W)", "3, 4, 2, 2")
    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = _doc("BatchNorm3d", "(N, C, D, H, W)", "3, 4, 2, 2, 2")
    _dims = (5,)


class _LazyNormBase(LazyModuleMixin, _NormBase):
    """A normalisation that takes `num_features` from the size of dimension 1 of its first input."""

    def __init__(
        self,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(0, eps, momentum, False, False, device, dtype, bias=False)
        self.affine, self.track_running_stats = affine, track_running_stats
        factory = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**factory)
            if bias:
                self.bias = UninitializedParameter(**factory)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**factory)
            self.running_var = UninitializedBuffer(**factory)
            self.num_batches_tracked = _C.zeros((), dtype=_C.int64, device=device)

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def _get_num_features(self, input):
        return input.shape[1]

    def initialize_parameters(self, input):
        if not self.has_uninitialized_params():
            return
        self.num_features = self._get_num_features(input)
        for value in (self.weight, self.bias, self.running_mean, self.running_var):
            if value is not None:
                value.materialize((self.num_features,))
        self.reset_parameters()


class _LazyBatchNorm(_LazyNormBase, _BatchNorm):
    pass


_LAZY_DOC = """A `{base}` that takes `num_features` from its first input and is a `{base}` from then on.

    Args:
        eps, momentum, ...: as in `{base}`, without `num_features`.
    """


def lazy_norm(base, lazy_base, module):
    """The lazy form of a normalisation."""
    name = base.__name__
    body = {
        "__doc__": _LAZY_DOC.format(base=name),
        "__module__": module,
        "_dims": base._dims,
        "cls_to_become": base,
    }
    return type(base)("Lazy" + name, (lazy_base,), body)


LazyBatchNorm1d = lazy_norm(BatchNorm1d, _LazyBatchNorm, __name__)
LazyBatchNorm2d = lazy_norm(BatchNorm2d, _LazyBatchNorm, __name__)
LazyBatchNorm3d = lazy_norm(BatchNorm3d, _LazyBatchNorm, __name__)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics in training are those of the batches of all processes together.

    Without an initialised process group, or in a group of one, it is plain batch normalisation.

    Args:
        num_features, eps, momentum, affine, track_running_stats: as in `BatchNorm2d`.
        process_group (optional): the processes that share statistics. Default: all.
        device, dtype: of the parameters.
        bias (bool): learn a bias, if affine. Default: ``True``.

    Shape:
        input (N, C, \\*); the output is the same.

    Raises:
        ValueError: fewer than two dimensions, or no channels.
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        process_group=None,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input):
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")
        if input.size(1) == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    def forward(self, input):
        from ._sync_batch_norm import sync_batch_norm, world_of

        self._check_input_dim(input)
        mean, var, training, momentum = self._batch_norm_arguments()
        world = world_of(self.process_group) if training and self.training else 1
        if world == 1:
            return F.batch_norm(input, mean, var, self.weight, self.bias, training, momentum, self.eps)
        return sync_batch_norm(
            input, mean, var, self.weight, self.bias, momentum, self.eps, self.process_group
        )

    @classmethod
    def convert_sync_batchnorm(cls, module, process_group=None):
        """`module` with every batch normalisation in it replaced by a `SyncBatchNorm` with the same
        tensors.
        """
        result = module
        if isinstance(module, _BatchNorm):
            result = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(result, name, getattr(module, name))
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result
