"""Adam for sparse gradients."""

import math

import nnlib

from . import _sparse
from ._stepwise import StepwiseOptimizer, check_betas, check_lr, documented, plain

__all__ = ["SparseAdam"]


@documented
class SparseAdam(StepwiseOptimizer):
    r"""Adam that touches only the rows that a sparse gradient holds.

    Parameters are dense, gradients sparse, as those of ``nn.Embedding(sparse=True)``. The averages and the
    parameter change only where the gradient has entries; elsewhere, other than in :class:`Adam`, the
    averages do not decay. An entry counts as present even when its value is 0.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate (default: 1e-3)
        betas (pair of float, optional): decay rates of the averages of the gradient and of its square
            (default: (0.9, 0.999))
        eps (float, optional): added to the denominator (default: 1e-8)
        {maximize}

    Raises:
        ValueError: unless ``lr`` and ``eps`` are above 0 and the betas in [0, 1), or for a sparse parameter.
        RuntimeError: in a step, for a dense gradient.

    Example:
        >>> import nnlib as torch
        >>> rows = torch.nn.Embedding(4, 2, sparse=True)
        >>> opt = torch.optim.SparseAdam(rows.parameters(), lr=0.1)
        >>> before = rows.weight.detach().clone()
        >>> rows(torch.tensor([1, 1, 3])).sum().backward()
        >>> opt.step()
        >>> (rows.weight != before).any(1).tolist()
        [False, True, False, True]

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, applied to the present rows.
    """

    _late_options = {}
    _scalar_state = ()
    _sparse_error = None

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        check_lr(lr)
        if not 0.0 < lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        sparse = [
            [i, j]
            for i, group in enumerate(self.param_groups)
            for j, p in enumerate(group["params"])
            if p.is_sparse
        ]
        if sparse:
            raise ValueError(
                f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors"
            )

    def _init_state(self, state, param, group):
        state["step"] = 0
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = nnlib.zeros_like(param.detach())

    def _ready(self, group):
        params = super()._ready(group)
        if any(not p.grad.is_sparse for p in params):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        return params

    def _update(self, group, params):
        group.setdefault("maximize", False)  # states saved before the option existed lack it
        for p in params:
            self._update_one(p, p.grad, self.state[p], group)

    def _update_one(self, param, grad, state, group):
        state["step"] += 1
        index, values = _sparse.rows(grad)
        if group["maximize"]:
            values = -values
        (beta1, beta2), step = group["betas"], state["step"]
        exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
        mean = exp_avg[index]
        mean += (values - mean) * (1 - beta1)
        square = exp_avg_sq[index]
        square += (values * values - square) * (1 - beta2)
        exp_avg[index] = mean
        exp_avg_sq[index] = square
        step_size = plain(group["lr"]) * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        param[index] = param[index] - mean / square.sqrt().add_(group["eps"]) * step_size
