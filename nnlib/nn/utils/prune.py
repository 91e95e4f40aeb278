"""Pruning: some of a parameter's numbers are held at zero by a mask.

The parameter ``name`` becomes ``name + "_orig"``, its mask the buffer ``name + "_mask"``, and a hook puts their
product in the parameter's place before each forward. Pruning again prunes of what is left; :func:`remove` makes it
final.

>>> from nnlib import nn
>>> from nnlib.nn.utils import prune
>>> net = nn.Linear(4, 3)
>>> _ = prune.l1_unstructured(net, "weight", amount=0.5)
>>> int((net.weight == 0).sum()), sorted(net.state_dict())
(6, ['bias', 'weight_mask', 'weight_orig'])
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable

from nnlib import _C
from nnlib.autograd.grad_mode import no_grad

from .convert_parameters import parameters_to_vector

Tensor = _C.Tensor

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod(ABC):
    """A way to choose what is pruned, and the hook that applies the mask before each forward.

    A subclass has ``PRUNING_TYPE`` and :meth:`compute_mask`. The type says what a second pruning of the same
    parameter looks at: "unstructured" the numbers that are left, "structured" (with an attribute ``dim``) the
    channels that are left, "global" everything.
    """

    _tensor_name: str | None = None

    def __call__(self, module, inputs):
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The new mask, 0 where it prunes, of the scores ``t`` of numbers and the mask that there is."""

    def apply_mask(self, module) -> Tensor:
        """The parameter times its mask. AssertionError before :meth:`apply`."""
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has to be pruned")
        original = getattr(module, self._tensor_name + "_orig")
        return getattr(module, self._tensor_name + "_mask").to(original.dtype) * original

    @classmethod
    def apply(cls, module, name: str, *args, importance_scores: Tensor | None = None, **kwargs):
        """Prune ``module.name`` by a new instance of this class.

        Args:
            module (Module): the parameter's module.
            name (str): the parameter.
            args, kwargs: for the class.
            importance_scores (Tensor, optional): of the parameter's shape, looked at in its place.

        Returns:
            the hook: the new method, or a :class:`PruningContainer` with those before.

        A failure leaves the module as it was.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        found = [
            (key, hook)
            for key, hook in module._forward_pre_hooks.items()
            if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
        ]
        if len(found) > 1:
            raise AssertionError(
                f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. "
                "Use a PruningContainer."
            )
        value = getattr(module, name)
        scores = value if importance_scores is None else importance_scores
        if scores.shape != value.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, "
                f"got {tuple(scores.shape)} vs {tuple(value.shape)}"
            )
        if found:
            (key, before) = found[0]
            method = PruningContainer(*getattr(before, "_pruning_methods", (before,)), method)
            default_mask = getattr(module, name + "_mask").detach().clone()
        else:
            default_mask = _C.ones_like(value)
        with no_grad():
            mask = method.compute_mask(scores.detach(), default_mask)
        if found:
            del module._forward_pre_hooks[key]
        else:
            del module._parameters[name]
            module.register_parameter(name + "_orig", value)
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """``t`` times the mask for it, without a module. AssertionError where the scores have another shape."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                "importance_scores should have the same shape as tensor t, "
                f"got {tuple(scores.shape)} vs {tuple(t.shape)}"
            )
        return t * self.compute_mask(scores, _C.ones_like(t) if default_mask is None else default_mask)

    def remove(self, module) -> None:
        """Make the pruned numbers the parameter, without a mask. The hook has to be taken off by the caller."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        pruned = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        original.data = pruned.data
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Methods that were applied to one parameter, one after the other.

    Args:
        args (BasePruningMethod): the methods.

    TypeError for what is no method, ValueError for one of another parameter.
    """

    def __init__(self, *args):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = getattr(args[0], "_tensor_name", None)
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Add one more, which is the one that computes the next mask."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method._tensor_name != self._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to "
                f"PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self):
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, idx):
        return self._pruning_methods[idx]

    def compute_mask(self, t, default_mask):
        """The last method's mask of what the others left."""
        method = self._pruning_methods[-1]
        kind = getattr(method, "PRUNING_TYPE", None)
        if kind == "unstructured":
            left = default_mask == 1
        elif kind == "structured":
            if not hasattr(method, "dim"):
                raise AttributeError(
                    'Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.'
                )
            dim = method.dim + t.dim() if method.dim < 0 else method.dim
            if dim < 0:
                raise IndexError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
            channels = default_mask.sum([d for d in range(t.dim()) if d != dim]) != 0
            left = (slice(None),) * dim + (channels,)
        elif kind == "global":
            left = (slice(None),) * t.dim()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
        mask = default_mask.to(t.dtype).clone()
        mask[left] = method.compute_mask(t[left], default_mask[left]).to(mask.dtype)
        return mask


def _check_amount(amount) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (not isinstance(amount, numbers.Integral) and amount > 1):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer"
        )


class _Amount(BasePruningMethod):
    """Prunes a number or a share of what there is."""

    def __init__(self, amount):
        _check_amount(amount)
        self.amount = amount

    def _count(self, size: int) -> int:
        count = self.amount if isinstance(self.amount, numbers.Integral) else round(self.amount * size)
        if count > size:
            raise ValueError(
                f"amount={count} should be smaller than the number of parameters to prune={size}"
            )
        return int(count)


class _Unstructured(_Amount):
    PRUNING_TYPE = "unstructured"

    def _first(self, t, count):
        """The places of the numbers that go first."""
        raise NotImplementedError

    def compute_mask(self, t, default_mask):
        count = self._count(t.numel())
        mask = default_mask.clone(memory_format=_C.contiguous_format)
        if count:
            mask.view(-1)[self._first(t, count)] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prunes numbers by chance.

    Args:
        amount (int or float): how many, or which share of them.

    TypeError or ValueError for an amount that is none.
    """

    def _first(self, t, count):
        return _C.rand_like(t).view(-1).topk(count).indices

    @classmethod
    def apply(cls, module, name, amount):
        """Prune ``module.name``."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prunes the numbers of the smallest magnitude. ``amount`` as of :class:`RandomUnstructured`."""

    def _first(self, t, count):
        return t.abs().reshape(-1).topk(count, largest=False).indices

    @classmethod
    def apply(cls, module, name, amount, importance_scores=None):
        """Prune ``module.name``."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_Amount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount, dim=-1):
        super().__init__(amount)
        self.dim = dim

    def _keeps(self, t, count):
        """Which channels stay, as places or as bools."""
        raise NotImplementedError

    def compute_mask(self, t, default_mask):
        if t.dim() <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{tuple(t.shape)} with {t.dim()} dims"
            )
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {tuple(t.shape)}")
        count = self._count(t.shape[self.dim])
        if count == 0:
            return default_mask
        mask = _C.zeros_like(t)
        mask[(slice(None),) * (self.dim % t.dim()) + (self._keeps(t, count),)] = 1
        return mask * default_mask.to(mask.dtype)


class RandomStructured(_Structured):
    """Prunes whole channels by chance.

    Args:
        amount (int or float): how many, or which share of them.
        dim (int): the dimension of the channels. Default: the last.
    """

    def _keeps(self, t, count):
        prob = _C.rand(t.shape[self.dim])
        return prob > prob.kthvalue(count).values

    @classmethod
    def apply(cls, module, name, amount, dim=-1):
        """Prune ``module.name``."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the channels of the smallest norm.

    Args:
        amount, dim: as of :class:`RandomStructured`.
        n (int, float, inf, -inf, "fro", "nuc"): the order of the norm.
    """

    def __init__(self, amount, n, dim=-1):
        super().__init__(amount, dim)
        self.n = n

    def _keeps(self, t, count):
        dims = [d for d in range(t.dim()) if d != self.dim % t.dim()]
        return _C.norm(t, self.n, dims).topk(t.shape[self.dim] - count).indices

    @classmethod
    def apply(cls, module, name, amount, n, dim, importance_scores=None):
        """Prune ``module.name``."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class Identity(BasePruningMethod):
    """Prunes nothing, but puts mask and hook in place."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return default_mask

    @classmethod
    def apply(cls, module, name):
        """Prune ``module.name``."""
        return super().apply(module, name)


class CustomFromMask(BasePruningMethod):
    """Prunes what a given mask says. ``mask``: of the parameter's shape, 0 for what goes."""

    PRUNING_TYPE = "global"

    def __init__(self, mask):
        self.mask = mask

    def compute_mask(self, t, default_mask):
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask and mask should have the same shape, got {tuple(default_mask.shape)} and "
                f"{tuple(self.mask.shape)}"
            )
        return default_mask * self.mask.to(default_mask.dtype)

    @classmethod
    def apply(cls, module, name, mask):
        """Prune ``module.name``."""
        return super().apply(module, name, mask=mask)


def identity(module, name: str):
    """Put a mask of ones and the hook in place: nothing is pruned. Returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module, name: str, amount):
    """Prune numbers of ``module.name`` by chance. Returns the module.

    ``amount``: how many, or which share of those that are left.
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module, name: str, amount, importance_scores: Tensor | None = None):
    """Prune the numbers of ``module.name`` of the smallest magnitude, or of the smallest scores. Returns the module.

    ``amount``: how many, or which share of those that are left.
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module, name: str, amount, dim: int):
    """Prune channels of ``module.name`` along ``dim`` by chance. Returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module, name: str, amount, n, dim: int, importance_scores: Tensor | None = None):
    """Prune the channels of ``module.name`` along ``dim`` of the smallest n-norm. Returns the module.

    >>> net = nnlib.nn.Linear(4, 3)
    >>> _ = nnlib.nn.utils.prune.ln_structured(net, "weight", amount=1, n=2, dim=0)
    >>> int((net.weight == 0).all(1).sum())
    1
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(parameters, pruning_method, importance_scores: dict | None = None, **kwargs) -> None:
    """Prune numbers of several parameters together, as if they were one.

    Args:
        parameters (iterable of (Module, str)): the parameters.
        pruning_method (type): an unstructured method.
        importance_scores (dict, optional): scores of some of the parameters, by (module, name).
        kwargs: for the method, such as ``amount``.

    TypeError where ``parameters`` is no iterable, the scores no dict, or the method not unstructured.

    Source: Han, Pool, Tran and Dally, "Learning both weights and connections for efficient neural networks" (2015).
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    parameters = list(parameters)
    values = [getattr(module, name) for module, name in parameters]
    looked_at = parameters_to_vector(
        [scores.get(key, v) for key, v in zip(parameters, values, strict=True)]
    ).detach()
    before = parameters_to_vector(
        [
            getattr(module, f"{name}_mask", _C.ones_like(v))
            for (module, name), v in zip(parameters, values, strict=True)
        ]
    ).detach()
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method {pruning_method} '
            f"of type {method.PRUNING_TYPE}"
        )
    mask = PruningContainer(method).compute_mask(looked_at, before)
    parts = mask.split([v.numel() for v in values])
    for (module, name), value, part in zip(parameters, values, parts, strict=True):
        custom_from_mask(module, name, part.view(value.shape))


def custom_from_mask(module, name: str, mask: Tensor):
    """Prune ``module.name`` where the mask is 0. Returns the module.

    >>> net = nnlib.nn.Linear(3, 2)
    >>> _ = nnlib.nn.utils.prune.custom_from_mask(net, "bias", nnlib.tensor([0, 1]))
    >>> net.bias_mask
    tensor([0., 1.])
    """
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module, name: str):
    """Make the pruning of ``module.name`` final: the product becomes the parameter. Returns the module.

    ValueError where it is not pruned.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module) -> bool:
    """Whether a module, or one inside it, is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for part in module.modules()
        for hook in part._forward_pre_hooks.values()
    )
