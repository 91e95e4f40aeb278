"""Stochastic gradient descent."""

import nnlib
from nnlib import _C

from ._stepwise import StepwiseOptimizer, add_decay, check_fused, check_lr, documented, plain, tracked

__all__ = ["SGD"]


@documented
class SGD(StepwiseOptimizer):
    r"""Stochastic gradient descent, with momentum if wanted.

    With gradient :math:`g` (plus ``weight_decay`` times the parameter) a step is
    :math:`b \leftarrow \mu b + (1 - \tau) g` (in the first step :math:`b \leftarrow g`) and
    :math:`\theta \leftarrow \theta - \gamma b`; Nesterov momentum uses :math:`g + \mu b` instead
    of :math:`b`. Without momentum :math:`b = g`.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-3)
        momentum (float, optional): :math:`\mu` (default: 0)
        dampening (float, optional): :math:`\tau` (default: 0)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        nesterov (bool, optional): Nesterov momentum, needs ``momentum > 0`` and no dampening
            (default: False)
        {maximize}
        {foreach}
        {differentiable}
        {fused}

    Raises:
        ValueError: for a negative ``lr``, ``momentum`` or ``weight_decay``, or Nesterov momentum
            without momentum.

    Sparse gradients are taken; with weight decay they would have to become dense and are refused.

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = torch.optim.SGD([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.tolist()
        [0.0, 0.0]

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
    """

    _late_options = {
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": False,
    }
    _scalar_state = ()
    _sparse_error = None

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        check_lr(lr)
        if not momentum >= 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, defaults)
        check_fused(defaults, differentiable)

    def _ready(self, group):
        params = [p for p in group["params"] if p.grad is not None]
        if group["fused"]:
            for p in params:
                if p.grad.is_sparse:
                    raise RuntimeError("`_fused_sgd` does not support sparse gradients")
                if not p.is_floating_point():
                    raise RuntimeError(
                        "`fused=True` requires all the params to be floating point Tensors of "
                        f"supported devices: ['cpu'] but {p.dtype} and {p.device.type}"
                    )
        if params and group["foreach"] and group["differentiable"]:
            raise AssertionError("_foreach ops don't support autograd")
        return params

    def _update(self, group, params):
        for p in params:
            if p.grad.is_sparse:
                self._update_sparse(p, p.grad, self.state[p], group)
        params = [p for p in params if not p.grad.is_sparse]
        if group["differentiable"]:
            super()._update(group, params)
            return
        if group["momentum"] == 0:
            self._fused(group, params, [], False)
            return
        fresh, known = [], []
        for p in params:
            (known if self.state[p].get("momentum_buffer") is not None else fresh).append(p)
        for p in fresh:
            self.state[p]["momentum_buffer"] = nnlib.empty_like(p.detach())
        for subset, first in ((fresh, True), (known, False)):
            self._fused(group, subset, *self._states(subset, "momentum_buffer"), first)

    def _fused(self, group, params, buffers, first):
        if params:
            _C._fused_sgd(
                params,
                [p.grad for p in params],
                buffers,
                lr=float(group["lr"]),
                momentum=float(group["momentum"]),
                dampening=float(group["dampening"]),
                weight_decay=float(group["weight_decay"]),
                nesterov=group["nesterov"],
                maximize=group["maximize"],
                first=first,
            )

    def _update_sparse(self, param, grad, state, group):
        if plain(group["weight_decay"]) != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        momentum = group["momentum"]
        grad = -grad if group["maximize"] else grad
        if momentum != 0:
            buf = state.get("momentum_buffer")
            buf = grad if buf is None else buf * momentum + grad * (1 - group["dampening"])
            # Coalesced, so that it does not grow with every step.
            state["momentum_buffer"] = buf = buf.coalesce()
            grad = grad + buf * momentum if group["nesterov"] else buf
        param.add_(grad, alpha=-float(group["lr"]))

    def _update_one(self, param, grad, state, group):
        # Only steps that autograd records come here; state is replaced, not changed in place.
        momentum, lr = group["momentum"], group["lr"]
        grad = add_decay(grad, param, group["weight_decay"])
        if momentum != 0:
            buf = state.get("momentum_buffer")
            if buf is None:
                buf = grad.clone()
            else:
                buf = buf * momentum + grad * (1 - group["dampening"])
            state["momentum_buffer"] = buf
            grad = grad + buf * momentum if group["nesterov"] else buf
        if tracked(lr):
            param.sub_(grad * plain(lr))
        else:
            param.add_(grad, alpha=-plain(lr))
