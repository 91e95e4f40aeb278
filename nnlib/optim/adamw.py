"""Adam with decoupled weight decay."""

from ._stepwise import documented
from .adam import Adam

__all__ = ["AdamW"]


@documented
class AdamW(Adam):
    r"""Adam with decoupled weight decay.

    Each step first shrinks the parameter, :math:`\theta \leftarrow (1 - \gamma \lambda) \theta`, and then
    does Adam's step from the gradient of the loss alone: the decay enters neither average.

    Args:
        {params}
        lr (float or Tensor, optional): the learning rate :math:`\gamma` (default: 1e-3)
        betas (pair of float, or of Tensor, optional): decay rates of the averages of the gradient and
            of its square (default: (0.9, 0.999))
        eps (float, optional): added to the denominator (default: 1e-8)
        weight_decay (float, optional): :math:`\lambda` (default: 1e-2)
        amsgrad (bool, optional): divide by the largest average of squares so far (default: False)
        {maximize}
        {foreach}
        {capturable}
        {differentiable}
        {fused}

    Raises:
        ValueError: for a negative ``lr``, ``eps`` or ``weight_decay``, or betas outside [0, 1).

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> opt = torch.optim.AdamW([w], lr=0.1, weight_decay=0.1)
        >>> w.sum().backward()
        >>> opt.step()
        >>> round(w.item(), 4)
        0.89

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
        foreach=None,
        capturable=False,
        differentiable=False,
        fused=None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        # A state saved before the option existed lacks it; whatever is loaded, AdamW stays AdamW.
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
