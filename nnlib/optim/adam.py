"""Adam."""

import nnlib
from nnlib import _C

from ._stepwise import (
    StepwiseOptimizer,
    add_decay,
    check_betas,
    check_fused,
    check_lr,
    check_not_negative,
    documented,
    plain,
    scalar,
)

__all__ = ["Adam"]


@documented
class Adam(StepwiseOptimizer):
    r"""Adam: steps scaled by running averages of the gradient and of its square.

    With :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g` and
    :math:`v \leftarrow \beta_2 v + (1 - \beta_2) g^2`, step :math:`t` is
    :math:`\theta \leftarrow \theta - \gamma \hat m / (\sqrt{\hat v} + \epsilon)` where
    :math:`\hat m = m / (1 - \beta_1^t)` and :math:`\hat v = v / (1 - \beta_2^t)`.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-3)
        betas (pair of float, or of Tensor, optional): decay rates of the two averages
            (default: (0.9, 0.999))
        eps (float, optional): added to the denominator (default: 1e-8)
        weight_decay (float, optional): factor of the L2 penalty (default: 0)
        amsgrad (bool, optional): divide by the largest :math:`v` so far (default: False)
        {foreach}
        {maximize}
        {capturable}
        {differentiable}
        {fused}
        decoupled_weight_decay (bool, optional): shrink the parameter by ``lr * weight_decay`` instead of
            adding a penalty to the gradient, as :class:`AdamW` does (default: False)

    Raises:
        ValueError: for a negative ``lr``, ``eps`` or ``weight_decay``, or betas outside [0, 1).

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> round(w.item(), 4)
        0.9

    Sources: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015; Reddi et al., "On the
    Convergence of Adam and Beyond", 2018 (AMSGrad).
    """

    _late_options = {
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }
    _sparse_error = "{} does not support sparse gradients, please consider SparseAdam instead"

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        check_lr(lr)
        check_not_negative(epsilon=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        _check_tensor_options(lr, betas, foreach and not capturable)
        defaults = {
            "lr": lr,
            "betas": tuple(b.reshape(()) if isinstance(b, nnlib.Tensor) else b for b in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        check_fused(defaults, differentiable)

    def _init_state(self, state, param, group):
        state["step"] = scalar(0, group["fused"])
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        for name in names:
            state[name] = nnlib.zeros_like(param.detach())

    def _update(self, group, params):
        if group["foreach"] and isinstance(group["lr"], nnlib.Tensor):
            raise RuntimeError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if group["differentiable"]:
            super()._update(group, params)
            return
        beta1, beta2 = group["betas"]
        names = ["exp_avg", "exp_avg_sq", "step"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        exp_avgs, exp_avg_sqs, steps, *max_exp_avg_sqs = self._states(params, *names)
        _C._fused_adam(
            params,
            [p.grad for p in params],
            exp_avgs,
            exp_avg_sqs,
            max_exp_avg_sqs[0] if max_exp_avg_sqs else [],
            steps,
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            decoupled=bool(group["decoupled_weight_decay"]),
            maximize=group["maximize"],
        )

    def _update_one(self, param, grad, state, group):
        # Only steps that autograd records come here. State is replaced, never changed in place, as the
        # graph of earlier steps holds it.
        if state["step"].requires_grad:
            raise RuntimeError("`requires_grad` is not supported for `step` in differentiable mode")
        lr, (beta1, beta2) = plain(group["lr"]), map(plain, group["betas"])
        state["step"] += 1
        step = state["step"].item()
        if group["decoupled_weight_decay"]:
            param.mul_(1 - lr * plain(group["weight_decay"]))
        else:
            grad = add_decay(grad, param, group["weight_decay"])
        state["exp_avg"] = state["exp_avg"] * beta1 + grad * (1 - beta1)
        square = state["exp_avg_sq"] = state["exp_avg_sq"] * beta2 + grad * grad * (1 - beta2)
        if group["amsgrad"]:
            square = state["max_exp_avg_sq"] = nnlib.maximum(state["max_exp_avg_sq"], square)
        denom = square.sqrt() / (1 - beta2**step) ** 0.5 + group["eps"]
        param.sub_(state["exp_avg"] / denom * (lr / (1 - beta1**step)))


def _check_tensor_options(lr, betas, foreach):
    tensors = [isinstance(b, nnlib.Tensor) for b in betas]
    if tensors[0] != tensors[1]:
        raise ValueError("betas must be either both floats or both Tensors")
    if not tensors[0] and not all(isinstance(b, float) for b in betas):
        raise ValueError("betas must be either both floats or both Tensors")
    if foreach and isinstance(lr, nnlib.Tensor):
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
    for i, beta in enumerate(betas):
        if not tensors[i]:
            continue
        if foreach:
            raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
        if beta.numel() != 1:
            raise ValueError(f"Tensor betas[{i}] must be 1-element")
