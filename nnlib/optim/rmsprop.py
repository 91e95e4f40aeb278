"""RMSprop."""

import nnlib
from nnlib import _C

from ._stepwise import (
    StepwiseOptimizer,
    add_decay,
    check_lr,
    check_not_negative,
    documented,
    plain,
    scalar,
)

__all__ = ["RMSprop"]


@documented
class RMSprop(StepwiseOptimizer):
    r"""RMSprop: steps scaled by a running average of squared gradients.

    With :math:`v \leftarrow \alpha v + (1 - \alpha) g^2` a step is
    :math:`\theta \leftarrow \theta - \gamma g / (\sqrt{v} + \epsilon)`. The centered form subtracts the
    square of the gradient's running average from :math:`v`; with momentum the quotient is summed into
    a buffer, :math:`b \leftarrow \mu b + g / (\sqrt{v} + \epsilon)`, which the step then follows.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-2)
        alpha (float, optional): decay rate of the averages (default: 0.99)
        eps (float, optional): added to the denominator (default: 1e-8)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        momentum (float, optional): :math:`\mu` (default: 0)
        centered (bool, optional): divide by an estimate of the deviation (default: False)
        {capturable}
        {foreach}
        {maximize}
        {differentiable}

    Raises:
        ValueError: for a negative option.

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.RMSprop([w], lr=0.01, alpha=0.75)
        >>> w.sum().backward()
        >>> opt.step()
        >>> round(w.item(), 4)
        0.98

    Source: Hinton, "Neural Networks for Machine Learning", lecture 6; Graves, "Generating Sequences With
    Recurrent Neural Networks", 2013 (the centered form).
    """

    _late_options = {
        "momentum": 0,
        "centered": False,
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
    }

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        check_not_negative(epsilon=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0)
        names = ["square_avg"]
        names += ["momentum_buffer"] * (group["momentum"] > 0)
        names += ["grad_avg"] * bool(group["centered"])
        for name in names:
            state[name] = nnlib.zeros_like(param.detach())

    def _update(self, group, params):
        if group["differentiable"]:
            super()._update(group, params)
            return
        square_avgs, steps = self._states(params, "square_avg", "step")
        buffers = self._states(params, "momentum_buffer")[0] if group["momentum"] > 0 else []
        grad_avgs = self._states(params, "grad_avg")[0] if group["centered"] else []
        _C._fused_rmsprop(
            params,
            [p.grad for p in params],
            square_avgs,
            buffers,
            grad_avgs,
            steps,
            lr=float(group["lr"]),
            alpha=float(group["alpha"]),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            momentum=float(group["momentum"]),
            maximize=group["maximize"],
        )

    def _update_one(self, param, grad, state, group):
        # Only steps that autograd records come here; state is replaced, not changed in place.
        lr, alpha, momentum = plain(group["lr"]), group["alpha"], group["momentum"]
        state["step"] += 1
        grad = add_decay(grad, param, group["weight_decay"])
        square = state["square_avg"] = state["square_avg"] * alpha + grad * grad * (1 - alpha)
        if group["centered"]:
            mean = state["grad_avg"] = state["grad_avg"] * alpha + grad * (1 - alpha)
            square = square - mean * mean
        change = grad / (square.sqrt() + group["eps"])
        if momentum > 0:
            change = state["momentum_buffer"] = state["momentum_buffer"] * momentum + change
        param.sub_(change * lr)
