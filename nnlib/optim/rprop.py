"""Rprop."""

import nnlib
from nnlib import _C

from ._stepwise import StepwiseOptimizer, check_lr, documented, plain, scalar

__all__ = ["Rprop"]


@documented
class Rprop(StepwiseOptimizer):
    r"""Rprop: one step size per element, adapted by the sign of the gradient alone.

    Where the gradient keeps its sign, the element's step size grows by :math:`\eta^+`; where it changes, it
    shrinks by :math:`\eta^-` and the element stays put for one step. Otherwise the element moves by its
    step size against the gradient's sign. Meant for whole batches.

    Args:
        {params}
        lr (float or Tensor, optional): the first step size (default: 1e-2)
        etas (pair of float, optional): :math:`(\eta^-, \eta^+)` (default: (0.5, 1.2))
        step_sizes (pair of float, optional): smallest and largest step size (default: (1e-6, 50))
        {capturable}
        {foreach}
        {maximize}
        {differentiable}

    Raises:
        ValueError: for a negative ``lr``, or etas that do not satisfy ``0 < etas[0] < 1 < etas[1]``.

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.Rprop([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.item()
        0.75

    Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning", 1993.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        etas=(0.5, 1.2),
        step_sizes=(1e-6, 50),
        *,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0)
        state["prev"] = nnlib.zeros_like(param.detach())
        state["step_size"] = nnlib.full_like(param.grad.detach(), float(plain(group["lr"])))

    def _update(self, group, params):
        (eta_minus, eta_plus), (least, most) = group["etas"], group["step_sizes"]
        more = {"eta_minus": eta_minus, "eta_plus": eta_plus, "step_size_min": least, "step_size_max": most}
        self._update_fused(_C._fused_rprop, group, params, ("prev", "step_size", "step"), (), **more)

    def _update_one(self, param, grad, state, group):
        shrink, grow = group["etas"]
        prev, step_size = state["prev"], state["step_size"]
        state["step"] += 1
        agreement = grad.detach() * prev.detach()
        factor = nnlib.ones_like(step_size)
        factor.masked_fill_(agreement > 0, grow).masked_fill_(agreement < 0, shrink)
        step_size.mul_(factor).clamp_(*group["step_sizes"])
        grad = nnlib.where(agreement < 0, nnlib.zeros_like(grad), grad)
        # The next step changes step_size in place, which the graph of this one may hold.
        param.addcmul_(grad.sign(), step_size.clone(), value=-1)
        prev.copy_(grad.detach())
