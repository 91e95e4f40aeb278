"""Adagrad."""

import nnlib
from nnlib import _C

from . import _sparse
from ._stepwise import (
    StepwiseOptimizer,
    add_decay,
    check_fused,
    check_lr,
    check_not_negative,
    documented,
    plain,
    scalar,
)

__all__ = ["Adagrad"]


@documented
class Adagrad(StepwiseOptimizer):
    r"""Adagrad: steps scaled by the sum of all squared gradients so far.

    Step :math:`t` is :math:`s \leftarrow s + g^2` and
    :math:`\theta \leftarrow \theta - \frac{\gamma}{1 + (t - 1) \eta} \frac{g}{\sqrt{s} + \epsilon}`.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-2)
        lr_decay (float, optional): :math:`\eta` (default: 0)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        initial_accumulator_value (float, optional): the sum to start from (default: 0)
        eps (float, optional): added to the denominator (default: 1e-10)
        {foreach}
        {maximize}
        {differentiable}
        {fused}

    Raises:
        ValueError: for a negative option.

    Sparse gradients are taken (without weight decay): only the rows that they hold are touched.

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.Adagrad([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.tolist()
        [0.5]

    Source: Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", 2011.
    """

    _late_options = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}
    _sparse_error = None

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        check_lr(lr)
        check_not_negative(
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=eps,
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(defaults, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self._init_state(self.state[p], p, group)

    def share_memory(self):
        """Moves the sums into shared memory, for training from several processes."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def _init_state(self, state, param, group):
        state["step"] = scalar(0, group["fused"])
        state["sum"] = nnlib.full_like(param.detach(), self.defaults["initial_accumulator_value"])

    def _update(self, group, params):
        if group["fused"] and any(p.grad.is_sparse for p in params):
            raise RuntimeError("`fused` does not support sparse grad or complex param")
        for p in params:
            if p.grad.is_sparse:
                self._update_sparse(p, p.grad, self.state[p], group)
        params = [p for p in params if not p.grad.is_sparse]
        if group["differentiable"]:
            super()._update(group, params)
        elif params:
            _C._fused_adagrad(
                params,
                [p.grad for p in params],
                *self._states(params, "sum", "step"),
                lr=float(group["lr"]),
                lr_decay=float(group["lr_decay"]),
                eps=float(group["eps"]),
                weight_decay=float(group["weight_decay"]),
                maximize=group["maximize"],
            )

    def _count_step(self, state, group):
        """Counts a step; returns its learning rate."""
        state["step"] += 1
        return plain(group["lr"]) / (1 + (state["step"].item() - 1) * group["lr_decay"])

    def _update_sparse(self, param, grad, state, group):
        if group["weight_decay"] != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        lr, total = float(self._count_step(state, group)), state["sum"]
        index, values = _sparse.rows(grad)
        sums = total[index] + values * values
        total[index] = sums
        change = values / sums.sqrt().add_(group["eps"])
        param[index] = param[index] - change * (-lr if group["maximize"] else lr)

    def _update_one(self, param, grad, state, group):
        # Only steps that autograd records come here; state is replaced, not changed in place.
        lr = self._count_step(state, group)
        grad = add_decay(grad, param, group["weight_decay"])
        state["sum"] = state["sum"] + grad * grad
        param.sub_(grad / (state["sum"].sqrt() + group["eps"]) * lr)
