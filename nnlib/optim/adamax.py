"""Adamax."""

import nnlib
from nnlib import _C

from ._stepwise import (
    StepwiseOptimizer,
    add_decay,
    both_betas,
    check_betas,
    check_lr,
    check_not_negative,
    documented,
    plain,
    scalar,
)

__all__ = ["Adamax"]


@documented
class Adamax(StepwiseOptimizer):
    r"""Adamax: Adam with the infinity norm in place of the average of squares.

    With :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g` and
    :math:`u \leftarrow \max(\beta_2 u, |g| + \epsilon)`, step :math:`t` is
    :math:`\theta \leftarrow \theta - \gamma m / ((1 - \beta_1^t) u)`.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 2e-3)
        betas (pair of float, optional): decay rates (default: (0.9, 0.999))
        eps (float, optional): added to the gradient's size (default: 1e-8)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        {foreach}
        {maximize}
        {differentiable}
        {capturable}

    Raises:
        ValueError: for a negative ``lr``, ``eps`` or ``weight_decay``, or betas outside [0, 1).

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.Adamax([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> round(w.item(), 4)
        0.9

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, section 7.
    """

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check_lr(lr)
        check_not_negative(epsilon=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0)
        for name in ("exp_avg", "exp_inf"):
            state[name] = nnlib.zeros_like(param.detach())

    def _update(self, group, params):
        state, options = ("exp_avg", "exp_inf", "step"), ("lr", "eps", "weight_decay")
        self._update_fused(_C._fused_adamax, group, params, state, options, **both_betas(group))

    def _update_one(self, param, grad, state, group):
        beta1, beta2 = group["betas"]
        exp_avg, exp_inf = state["exp_avg"], state["exp_inf"]
        state["step"] += 1
        grad = add_decay(grad, param, group["weight_decay"])
        exp_avg.lerp_(grad, 1 - beta1)
        # The graph holds the operands of the division: the next step must not overwrite them. The rate may be a tensor.
        size = state["exp_inf"] = nnlib.maximum(exp_inf * beta2, grad.abs().add_(group["eps"]))
        rate = plain(group["lr"]) / (1 - beta1 ** state["step"].item())
        param.sub_(exp_avg.clone() / size * rate)
