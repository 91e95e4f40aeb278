"""Averaged stochastic gradient descent."""

import nnlib
from nnlib import _C

from ._stepwise import StepwiseOptimizer, add_decay, check_lr, check_not_negative, documented, plain, scalar

__all__ = ["ASGD"]


@documented
class ASGD(StepwiseOptimizer):
    r"""Stochastic gradient descent that also keeps an average of the parameters.

    Step :math:`t` is :math:`\theta \leftarrow (1 - \lambda \eta) \theta - \eta g`; then
    :math:`\eta \leftarrow \gamma / (1 + \lambda \gamma t)^\alpha`. The state ``"ax"`` holds the average,
    which starts after ``t0`` steps with weight :math:`\mu = 1 / \max(1, t - t_0)` for the newest parameter.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-2)
        lambd (float, optional): :math:`\lambda` (default: 1e-4)
        alpha (float, optional): power of the learning rate's decay (default: 0.75)
        t0 (float, optional): step at which averaging starts (default: 1e6)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        {foreach}
        {maximize}
        {differentiable}
        {capturable}

    Raises:
        ValueError: for a negative ``lr`` or ``weight_decay``.

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.ASGD([w], lr=0.5, lambd=0.0)
        >>> w.sum().backward()
        >>> opt.step()
        >>> w.item(), opt.state[w]["ax"].item()
        (0.5, 0.5)

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    _scalar_state = ("step", "eta", "mu")

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        foreach=None,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check_lr(lr)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0)
        state["eta"] = scalar(plain(group["lr"]))
        state["mu"] = scalar(1)
        state["ax"] = nnlib.zeros_like(param.detach())

    def _update(self, group, params):
        state, options = ("ax", "eta", "mu", "step"), ("lr", "lambd", "alpha", "t0", "weight_decay")
        self._update_fused(_C._fused_asgd, group, params, state, options)

    def _update_one(self, param, grad, state, group):
        lambd, lr = group["lambd"], plain(group["lr"])
        ax, eta, mu = state["ax"], state["eta"].item(), state["mu"].item()
        state["step"] += 1
        step = state["step"].item()
        grad = add_decay(grad, param, group["weight_decay"])
        param.mul_(1 - lambd * eta)
        param.add_(grad, alpha=-eta)
        if mu != 1:
            ax.add_(param.sub(ax).mul_(mu))
        else:
            ax.copy_(param)
        state["eta"].fill_(float(lr / (1 + lambd * lr * step) ** group["alpha"]))
        state["mu"].fill_(1 / max(1, step - group["t0"]))
