"""RAdam."""

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

__all__ = ["RAdam"]


@documented
class RAdam(StepwiseOptimizer):
    r"""RAdam: Adam that goes without its denominator until that can be trusted.

    :math:`\rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t)`, with
    :math:`\rho_\infty = 2 / (1 - \beta_2) - 1`, counts the gradients that the average of squares effectively
    holds. Above 5 the step is Adam's times :math:`r_t`, the square root of
    :math:`(\rho_t - 4)(\rho_t - 2) \rho_\infty / ((\rho_\infty - 4)(\rho_\infty - 2) \rho_t)`; before, it is
    :math:`\theta \leftarrow \theta - \gamma m / (1 - \beta_1^t)`.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-3)
        betas (pair of float, optional): decay rates (default: (0.9, 0.999))
        eps (float, optional): added to the denominator (default: 1e-8)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        decoupled_weight_decay (bool, optional): shrink the parameter as :class:`AdamW` does (default: False)
        {foreach}
        {maximize}
        {capturable}
        {differentiable}

    Raises:
        ValueError: for a negative ``lr``, ``eps`` or ``weight_decay``, or betas outside [0, 1).

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.RAdam([w], lr=0.25)
        >>> w.sum().backward()
        >>> opt.step()
        >>> round(w.item(), 4)
        0.75

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020.
    """

    _late_options = StepwiseOptimizer._late_options | {"decoupled_weight_decay": False}

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
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
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0)
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = nnlib.zeros_like(param.detach())

    def _update(self, group, params):
        state, options = ("exp_avg", "exp_avg_sq", "step"), ("lr", "eps", "weight_decay")
        more = {"decoupled": bool(group["decoupled_weight_decay"]), **both_betas(group)}
        self._update_fused(_C._fused_radam, group, params, state, options, **more)

    def _update_one(self, param, grad, state, group):
        beta1, beta2 = group["betas"]
        lr = plain(group["lr"])
        exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
        state["step"] += 1
        step = state["step"].item()
        if group["decoupled_weight_decay"]:
            param.mul_(1 - lr * group["weight_decay"])
        else:
            grad = add_decay(grad, param, group["weight_decay"])
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        change = exp_avg / (1 - beta1**step)
        bias_correction2 = 1 - beta2**step
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * beta2**step / bias_correction2
        if rho > 5.0:
            rect = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
            change = change / exp_avg_sq.sqrt().add(group["eps"]) * (bias_correction2**0.5 * rect)
        param.sub_(change * lr)
