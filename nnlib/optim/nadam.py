"""NAdam."""

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

__all__ = ["NAdam"]


@documented
class NAdam(StepwiseOptimizer):
    r"""NAdam: Adam with Nesterov momentum.

    The momentum of step :math:`t` is :math:`\mu_t = \beta_1 (1 - \frac12 0.96^{t \psi})`. With Adam's
    averages :math:`m` and :math:`v` the step is
    :math:`\theta \leftarrow \theta - \gamma \hat m / (\sqrt{\hat v} + \epsilon)` where
    :math:`\hat m = \mu_{t+1} m / (1 - \prod_{i \le t+1} \mu_i) + (1 - \mu_t) g / (1 - \prod_{i \le t} \mu_i)`
    and :math:`\hat v = v / (1 - \beta_2^t)`.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 2e-3)
        betas (pair of float, optional): decay rates (default: (0.9, 0.999))
        eps (float, optional): added to the denominator (default: 1e-8)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        momentum_decay (float, optional): :math:`\psi` (default: 4e-3)
        decoupled_weight_decay (bool, optional): shrink the parameter as :class:`AdamW` does (default: False)
        {foreach}
        {maximize}
        {capturable}
        {differentiable}

    Raises:
        ValueError: for a negative ``lr``, ``eps``, ``weight_decay`` or ``momentum_decay``, or betas
            outside [0, 1).

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.NAdam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.item() < 1
        True

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.
    """

    _late_options = StepwiseOptimizer._late_options | {"decoupled_weight_decay": False}
    _scalar_state = ("step", "mu_product")

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
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
        check_not_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"], state["mu_product"] = scalar(0), scalar(1)
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = nnlib.zeros_like(param.detach())

    def _update(self, group, params):
        state = "exp_avg", "exp_avg_sq", "mu_product", "step"
        options = "lr", "eps", "weight_decay", "momentum_decay"
        more = {"decoupled": bool(group["decoupled_weight_decay"]), **both_betas(group)}
        self._update_fused(_C._fused_nadam, group, params, state, options, **more)

    def _update_one(self, param, grad, state, group):
        beta1, beta2 = group["betas"]
        lr, decay = plain(group["lr"]), group["momentum_decay"]
        exp_avg, exp_avg_sq, mu_product = state["exp_avg"], state["exp_avg_sq"], state["mu_product"]
        state["step"] += 1
        step = state["step"].item()
        if group["decoupled_weight_decay"]:
            param.mul_(1 - lr * group["weight_decay"])
        else:
            grad = add_decay(grad, param, group["weight_decay"])
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
        mu_product.mul_(mu)
        product = mu_product.item()
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        denom = exp_avg_sq.div(1 - beta2**step).sqrt_().add(group["eps"])
        fresh, kept = (1.0 - mu) / (1.0 - product), mu_next / (1.0 - product * mu_next)
        param.sub_((grad * fresh + exp_avg * kept) / denom * lr)
