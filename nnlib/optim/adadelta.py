"""Adadelta."""

import nnlib
from nnlib import _C

from ._stepwise import StepwiseOptimizer, add_decay, check_lr, check_not_negative, documented, plain, scalar

__all__ = ["Adadelta"]


@documented
class Adadelta(StepwiseOptimizer):
    r"""Adadelta: steps in the units of the parameter, from averages of squared gradients and steps.

    With :math:`v \leftarrow \rho v + (1 - \rho) g^2` the change is
    :math:`\Delta = \sqrt{u + \epsilon} / \sqrt{v + \epsilon} \cdot g`, the average of squared changes
    :math:`u \leftarrow \rho u + (1 - \rho) \Delta^2`, and :math:`\theta \leftarrow \theta - \gamma \Delta`.

    Args:
        {params}
        lr (float or Tensor, optional): :math:`\gamma` (default: 1.0)
        rho (float, optional): decay rate of both averages (default: 0.9)
        eps (float, optional): added under both roots (default: 1e-6)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        {foreach}
        {capturable}
        {maximize}
        {differentiable}

    Raises:
        ValueError: for a negative option, or ``rho`` above 1.

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.Adadelta([w], lr=1.0, rho=0.75, eps=1.0)
        >>> w.sum().backward()
        >>> opt.step()
        >>> round(w.item(), 4)
        0.1056

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
    """

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        *,
        capturable=False,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative(epsilon=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0)
        for name in ("square_avg", "acc_delta"):
            state[name] = nnlib.zeros_like(param.detach())

    def _update(self, group, params):
        state, options = ("square_avg", "acc_delta", "step"), ("lr", "rho", "eps", "weight_decay")
        self._update_fused(_C._fused_adadelta, group, params, state, options)

    def _update_one(self, param, grad, state, group):
        rho, eps, lr = group["rho"], group["eps"], plain(group["lr"])
        square_avg, acc_delta = state["square_avg"], state["acc_delta"]
        state["step"] += 1
        grad = add_decay(grad, param, group["weight_decay"])
        square_avg.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = acc_delta.add(eps).sqrt_() / square_avg.add(eps).sqrt_() * grad
        acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        param.sub_(delta * lr)
