"""What the optimizers that treat each parameter on its own have in common."""

import nnlib

from .optimizer import Optimizer

_OPTION_DOCS = {
    "params": """params (iterable): parameters, pairs of name and parameter, or dicts that define groups""",
    "maximize": """maximize (bool, optional): go up the gradient instead of down (default: False)""",
    "foreach": """foreach (bool, optional): taken for compatibility; True, False and None give the same
            numbers, as one way of computing serves all of them (default: None)""",
    "fused": """fused (bool, optional): True demands floating-point parameters and dense gradients. The
            numbers are those of None and False: one fused C++ pass serves all of them (default: None)""",
    "capturable": """capturable (bool, optional): for graphs of accelerators, which a CPU does not have: with
            True the step raises an AssertionError (default: False)""",
    "differentiable": """differentiable (bool, optional): let autograd record the step, so that a gradient can
            flow through it. Slower (default: False)""",
}


def documented(cls):
    """Fills ``{params}``, ``{maximize}``, ... in a class's docstring with the shared texts."""
    for name, text in _OPTION_DOCS.items():
        cls.__doc__ = cls.__doc__.replace("{" + name + "}", text)
    return cls


def check_lr(lr, message="Invalid learning rate: {}"):
    """Demands a number, or a tensor of one element, that is not negative."""
    if isinstance(lr, nnlib.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(message.format(lr))


def check_not_negative(**values):
    """Demands values of 0 or more; the keyword names the value in the error, ``_`` for a space."""
    for name, value in values.items():
        if not value >= 0.0:
            raise ValueError(f"Invalid {name} value: {value}")


def check_betas(betas):
    """Demands two decay rates in [0, 1)."""
    for i in (0, 1):
        if not 0.0 <= betas[i] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")


def both_betas(group):
    """A group's decay rates as the C++ steps take them."""
    beta1, beta2 = group["betas"]
    return {"beta1": float(beta1), "beta2": float(beta2)}


def check_fused(group, differentiable):
    """Refuses the combinations of options that ``fused=True`` excludes."""
    if group["fused"]:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if group["foreach"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def scalar_dtype(fused=False):
    """The dtype of a step count: float64 only where float64 is the default dtype."""
    wide = not fused and nnlib.get_default_dtype() == nnlib.float64
    return nnlib.float64 if wide else nnlib.float32


def scalar(value, fused=False):
    """A scalar tensor of the state, such as the step count."""
    return nnlib.tensor(float(value), dtype=scalar_dtype(fused))


def tracked(value):
    """Whether a hyperparameter is a tensor through which a gradient is to flow."""
    return isinstance(value, nnlib.Tensor) and value.requires_grad


def plain(value):
    """A hyperparameter as a number, or as a 0-dimensional tensor where a gradient flows through it."""
    if not isinstance(value, nnlib.Tensor):
        return value
    return value.reshape(()) if value.requires_grad else value.item()


def add_decay(grad, param, weight_decay):
    """The gradient of the loss plus an L2 penalty."""
    if tracked(weight_decay):
        return grad + param.clone() * plain(weight_decay)
    weight_decay = plain(weight_decay)
    return grad.add(param, alpha=weight_decay) if weight_decay != 0 else grad


class StepwiseOptimizer(Optimizer):
    """An optimizer whose step visits one parameter after the other.

    A subclass implements ``_init_state(state, param, group)``, which fills the state of a parameter
    that has its first gradient, and ``_update_one(param, grad, state, group)``; those with a fused
    C++ step override ``_update(group, params)``, and ``_update_one`` serves steps that autograd records.
    """

    # Options that an older saved state may lack, and the state entries that have to be tensors.
    _late_options = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}
    _scalar_state = ("step",)
    _sparse_error = "{} does not support sparse gradients"

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self._late_options.items():
                group.setdefault(name, value)
            for p in group["params"]:
                values = self.state.get(p) or {}
                for name in self._scalar_state:
                    if name in values and not isinstance(values[name], nnlib.Tensor):
                        values[name] = scalar(values[name], group.get("fused"))

    def step(self, closure=None):
        """Performs one step.

        Args:
            closure (callable, optional): computes the loss and its gradients anew and returns it.

        Returns:
            What the closure returned, or None.
        """
        with nnlib.set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            loss = None
            if closure is not None:
                with nnlib.enable_grad():
                    loss = closure()
            for group in self.param_groups:
                params = self._ready(group)
                if params:
                    self._update(group, params)
        return loss

    def _ready(self, group):
        """The parameters of a group that have a gradient, each with its state."""
        params = [p for p in group["params"] if p.grad is not None]
        if params and group.get("capturable"):
            raise AssertionError(
                "If capturable=True, params and state_steps must be on supported devices: []. "
                "Graphs are captured on accelerators; expected capturable=False on a CPU"
            )
        if params and group.get("foreach") and group.get("differentiable"):
            raise AssertionError("_foreach ops don't support autograd")
        for p in params:
            if self._sparse_error and p.grad.is_sparse:
                raise RuntimeError(self._sparse_error.format(type(self).__name__))
            state = self.state[p]
            if not state:
                if group.get("fused") and not p.is_floating_point():
                    raise RuntimeError(
                        "`fused=True` requires all the params to be floating point Tensors of "
                        f"supported devices: ['cpu'] but {p.dtype} and {p.device.type}"
                    )
                self._init_state(state, p, group)
        return params

    def _update(self, group, params):
        for p in params:
            grad = -p.grad if group["maximize"] else p.grad
            self._update_one(p, grad, self.state[p], group)

    def _update_fused(self, step, group, params, state, options, **more):
        """One call of a C++ step with lists of the named state and the group's named options."""
        if group["differentiable"]:
            StepwiseOptimizer._update(self, group, params)
            return
        numbers = {name: float(group[name]) for name in options}
        grads = [p.grad for p in params]
        step(params, grads, *self._states(params, *state), maximize=group["maximize"], **numbers, **more)

    def _states(self, params, *names):
        """For each name, the list of that state entry over the parameters."""
        states = [self.state[p] for p in params]
        return [[s[name] for s in states] for name in names]

    def _init_state(self, state, param, group):
        raise NotImplementedError

    def _update_one(self, param, grad, state, group):
        raise NotImplementedError
