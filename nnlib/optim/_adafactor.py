"""Adafactor."""

import nnlib

from ._stepwise import StepwiseOptimizer, check_lr, documented, plain, scalar

__all__ = ["Adafactor"]


@documented
class Adafactor(StepwiseOptimizer):
    r"""Adafactor: keeps of the squared gradients of a matrix only averages by row and by column.

    At step :math:`t` the averages :math:`R` (over columns) and :math:`C` (over rows) of
    :math:`G \odot G` move towards the new value by :math:`t^\tau`. The variance is
    :math:`V = R C / \max(\mathrm{mean}(R), \epsilon_1)`, the update
    :math:`U = G / \max(\sqrt V, \epsilon_1)`, clipped as :math:`U / \max(1, \mathrm{RMS}(U) / d)`. The
    step is :math:`\theta \leftarrow (1 - \gamma \lambda) \theta - \alpha U` with
    :math:`\alpha = \max(\epsilon_2, \mathrm{RMS}(\theta)) \min(\gamma, 1 / \sqrt t)`. Vectors keep all of
    :math:`V`; of a parameter with more than two dimensions the last two are factored.

    Args:
        {params}
        lr (float or Tensor, optional): :math:`\gamma`, the largest relative step and the factor of the decay
            (default: 1e-2)
        beta2_decay (float, optional): :math:`\tau` (default: -0.8)
        eps (pair of float, optional): :math:`(\epsilon_1, \epsilon_2)`; None for the first is the dtype's
            epsilon (default: (None, 1e-3))
        d (float, optional): clipping threshold (default: 1.0)
        weight_decay (float, optional): :math:`\lambda` (default: 0)
        {foreach}
        {maximize}

    Raises:
        ValueError: for an option outside its range.

    Example:
        >>> import nnlib as torch
        >>> w = torch.ones(2, 3, requires_grad=True)
        >>> opt = torch.optim.Adafactor([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> opt.state[w]["row_var"].shape, opt.state[w]["col_var"].shape
        (torch.Size([2, 1]), torch.Size([1, 3]))

    Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018.
    """

    _late_options = {"foreach": None}

    def __init__(
        self,
        params,
        lr=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        *,
        foreach=None,
        maximize=False,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        checks = (
            (beta2_decay <= 0.0, "beta2_decay should be <= 0 but is", beta2_decay),
            (eps[0] is None or eps[0] >= 0.0, "epsilon1 should be >= 0 but is", eps[0]),
            (eps[1] >= 0.0, "epsilon2 should be >= 0 but is", eps[1]),
            (d >= 1.0, "Clipping threshold d should be >= 1 but is", d),
            (weight_decay >= 0.0, "weight_decay should be >= 0 but is", weight_decay),
        )
        for holds, text, value in checks:
            if not holds:
                raise ValueError(f"{text}: {value}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0)
        grad = param.grad.detach()
        if grad.dim() > 1:
            state["row_var"] = grad.new_zeros([*grad.shape[:-1], 1])
            state["col_var"] = grad.new_zeros([*grad.shape[:-2], 1, grad.shape[-1]])
        else:
            state["variance"] = nnlib.zeros_like(grad)

    def _update_one(self, param, grad, state, group):
        lr, (eps1, eps2) = plain(group["lr"]), group["eps"]
        if eps1 is None:
            eps1 = nnlib.finfo(param.dtype).eps
        state["step"] += 1
        step = state["step"].item()
        weight = step ** group["beta2_decay"]
        alpha = max(eps2, _rms(param)) * min(lr, 1 / step**0.5)
        if group["weight_decay"] != 0:
            param.mul_(1 - lr * group["weight_decay"])
        square = grad * grad
        if grad.dim() > 1:
            row, col = state["row_var"], state["col_var"]
            row.lerp_(square.mean(dim=-1, keepdim=True), weight)
            col.lerp_(square.mean(dim=-2, keepdim=True), weight)
            variance = (row @ col).div_(row.mean(dim=-2, keepdim=True).clamp_(min=eps1))
        else:
            variance = state["variance"].lerp_(square, weight).clone()
        update = variance.clamp_(min=eps1 * eps1).rsqrt_().mul_(grad)
        param.add_(update, alpha=-alpha / max(1.0, _rms(update) / group["d"]))


def _rms(x):
    return x.pow(2).mean().item() ** 0.5
