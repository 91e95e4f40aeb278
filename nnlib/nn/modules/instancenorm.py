"""Instance normalisation."""

import warnings

from .. import functional as F
from .batchnorm import _LazyNormBase, _NormBase, lazy_norm

__all__ = [
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]


class _InstanceNorm(_NormBase):
    """Normalises each channel of each sample over its positions, then scales and shifts it if `affine`.

    Args:
        num_features (int): number of channels C.
        eps (float): added to the variance. Default: 1e-5.
        momentum (float): share of the new value in the running one. Default: 0.1.
        affine (bool): learn weight and bias. Default: ``False``.
        track_running_stats (bool): keep running statistics, and use them in evaluation mode. Default:
            ``False``.
        device, dtype: of the parameters.
        bias (bool): learn a bias, if affine. Default: ``True``.

    Shape:
        input (N, C, {sizes}) or (C, {sizes}); the output is the same.

    Raises:
        ValueError: another number of dimensions or channels.

    Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization" (2016).
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=False,
        track_running_stats=False,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        # Releases before 0.4 saved running statistics even where they were not used.
        if local_metadata.get("version") is None and not self.track_running_stats:
            old = [name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if old:
                names = " and ".join(f'"{prefix + name}"' for name in old)
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {names} for {type(self).__name__} with "
                    "track_running_stats=False. If state_dict is a checkpoint saved before 0.4.0, this may "
                    "be expected: remove these keys from it, or set track_running_stats=True if they are "
                    "needed."
                )
                for name in old:
                    state_dict.pop(prefix + name)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def forward(self, input):
        self._check_input_dim(input)
        batched = input.dim() == self._dims[1]
        dim = 1 if batched else 0
        if input.size(dim) != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={dim} to match num_features ({self.num_features}), but "
                    f"got: {input.size(dim)}."
                )
            warnings.warn(
                f"input's size at dim={dim} does not match num_features. You can silence this warning by not "
                "passing in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        output = F.instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return output if batched else output.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__.replace("{sizes}", "L")
    _dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__.replace("{sizes}", "H, W")
    _dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__.replace("{sizes}", "D, H, W")
    _dims = (4, 5)


class _LazyInstanceNorm(_LazyNormBase, _InstanceNorm):
    def _get_num_features(self, input):
        return input.shape[1 if input.dim() == self._dims[1] else 0]


LazyInstanceNorm1d = lazy_norm(InstanceNorm1d, _LazyInstanceNorm, __name__)
LazyInstanceNorm2d = lazy_norm(InstanceNorm2d, _LazyInstanceNorm, __name__)
LazyInstanceNorm3d = lazy_norm(InstanceNorm3d, _LazyInstanceNorm, __name__)
