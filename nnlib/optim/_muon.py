"""Muon."""

import math

import nnlib

from ._stepwise import StepwiseOptimizer, check_lr, documented, plain

__all__ = ["Muon"]


@documented
class Muon(StepwiseOptimizer):
    r"""Muon: momentum made orthogonal, for the weight matrices of hidden layers.

    With :math:`B \leftarrow \mu B + (1 - \mu) G` (Nesterov: :math:`(1 - \mu) G + \mu B`) the update is
    :math:`\theta \leftarrow (1 - \gamma \lambda) \theta - \gamma s \, O(B)`. :math:`O` drives all
    singular values towards 1 by Newton-Schulz iterations in bfloat16, and :math:`s` depends on the
    matrix's shape. Biases, embeddings and norms belong to another optimizer, such as :class:`AdamW`.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-3)
        weight_decay (float, optional): :math:`\lambda`, decoupled (default: 0.1)
        momentum (float, optional): :math:`\mu` (default: 0.95)
        nesterov (bool, optional): Nesterov momentum (default: True)
        ns_coefficients (three floats, optional): coefficients of the iteration's polynomial
            (default: (3.4445, -4.775, 2.0315))
        eps (float, optional): smallest norm to divide by (default: 1e-7)
        ns_steps (int, optional): number of iterations, less than 100 (default: 5)
        adjust_lr_fn (str, optional): for a matrix of A rows and B columns, "original" (and None) scales by
            sqrt(max(1, A / B)), "match_rms_adamw" by 0.2 sqrt(max(A, B)), which lets learning rates tuned
            for AdamW be reused (default: None)

    Raises:
        ValueError: for a negative option, another ``adjust_lr_fn``, or a parameter that is no matrix.

    Example:
        >>> import nnlib as torch
        >>> w = torch.eye(3).requires_grad_()
        >>> opt = torch.optim.Muon([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> bool((w.diag() < 1).all())
        True

    Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; Liu et al.,
    "Muon is Scalable for LLM Training", 2025 (the second scaling).
    """

    _late_options = {}
    _scalar_state = ()

    def __init__(
        self,
        params,
        lr=1e-3,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=(3.4445, -4.7750, 2.0315),
        eps=1e-7,
        ns_steps=5,
        adjust_lr_fn=None,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}"
                    )

    def _init_state(self, state, param, group):
        state["momentum_buffer"] = nnlib.zeros_like(param.grad.detach())

    def _update(self, group, params):
        for p in params:
            self._update_one(p, p.grad, self.state[p], group)

    def _update_one(self, param, grad, state, group):
        if grad.ndim != 2:
            raise ValueError("Param gradient must be a 2D matrix")
        lr, momentum = plain(group["lr"]), group["momentum"]
        buf = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        update = grad.lerp(buf, momentum) if group["nesterov"] else buf
        update = _orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        param.mul_(1 - lr * group["weight_decay"])
        param.add_(update.to(param.dtype), alpha=-lr * _shape_factor(param, group["adjust_lr_fn"]))


def _shape_factor(param, adjust_lr_fn):
    rows, cols = param.shape
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, cols))
    return math.sqrt(max(1, rows / cols))


def _orthogonalized(matrix, coefficients, steps, eps):
    # A quintic whose slope at 0 is large: few steps bring all singular values near 1, not exactly to it.
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.bfloat16()
    x = x.t() if tall else x
    # The norm is rounded to bfloat16 too, as PyTorch rounds it.
    x = x / x.float().pow(2).sum().sqrt().bfloat16().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = nnlib.addmm(x, nnlib.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x
