"""States by the names of the bare model; named as in torch.distributed.checkpoint.state_dict.

A model has the same names here with and without DistributedDataParallel or DataParallel around it, and an
optimizer's state goes by the parameters' names instead of their numbers: so it fits when parameter groups are
made in another order.
"""

from ...nn.parallel import DataParallel, DistributedDataParallel
from ...optim import Optimizer

__all__ = [
    "get_model_state_dict", "get_optimizer_state_dict", "get_state_dict", "set_model_state_dict",
    "set_optimizer_state_dict", "set_state_dict",
]  # fmt: skip


def get_state_dict(model, optimizers):
    """The states of a model and of its optimizers: a pair, as by the two functions below.

    Example::

        >>> import nnlib
        >>> from nnlib.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
        >>> net = nnlib.nn.Linear(2, 1)
        >>> optimizer = nnlib.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        >>> weights, steps = get_state_dict(net, optimizer)
        >>> steps["param_groups"][0]["params"]
        ['weight', 'bias']
        >>> set_state_dict(net, optimizer, model_state_dict=weights, optim_state_dict=steps)
        <All keys matched successfully>
    """
    return get_model_state_dict(model), get_optimizer_state_dict(model, optimizers)


def get_model_state_dict(model):
    """The state of the bare model.

    Args:
        model (Module): the model, or one that wraps it for several devices or ranks.

    Example::

        >>> from nnlib.distributed.checkpoint.state_dict import get_model_state_dict
        >>> list(get_model_state_dict(nnlib.nn.Linear(1, 1)))
        ['weight', 'bias']
    """
    return _bare(model).state_dict()


def get_optimizer_state_dict(model, optimizers):
    """The states of the optimizers (one, or several with their groups in a row), by the parameters' names.

    Args:
        model (Module): whose parameters they are.
        optimizers (Optimizer or iterable): the optimizers.

    Raises:
        ValueError: an optimizer has a parameter that is not the model's.

    Example::

        >>> from nnlib.distributed.checkpoint.state_dict import get_optimizer_state_dict
        >>> net = nnlib.nn.Linear(1, 1)
        >>> get_optimizer_state_dict(net, nnlib.optim.SGD(net.parameters()))["param_groups"][0]["params"]
        ['weight', 'bias']
    """
    state, groups = {}, []
    for optimizer in _several(optimizers):
        names, saved = _names(model, optimizer), optimizer.state_dict()
        state.update({names[number]: value for number, value in saved["state"].items()})
        groups += [
            {**group, "params": [names[n] for n in group["params"]]} for group in saved["param_groups"]
        ]
    return {"state": state, "param_groups": groups}


def set_state_dict(model, optimizers, *, model_state_dict, optim_state_dict, strict=True):
    """Loads both; returns the keys of the model that were missing or unexpected.

    Args:
        model (Module), optimizers: as in :func:`get_state_dict`.
        model_state_dict, optim_state_dict (dict): what that returned.
        strict (bool): raise where keys of the model are missing or unexpected.

    Example::

        >>> from nnlib.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
        >>> net = nnlib.nn.Linear(1, 1)
        >>> optimizer = nnlib.optim.SGD(net.parameters())
        >>> of_net, of_optimizer = get_state_dict(net, optimizer)
        >>> set_state_dict(net, optimizer, model_state_dict=of_net, optim_state_dict=of_optimizer)
        <All keys matched successfully>
    """
    keys = set_model_state_dict(model, model_state_dict, strict=strict)
    set_optimizer_state_dict(model, optimizers, optim_state_dict)
    return keys


def set_model_state_dict(model, model_state_dict, *, strict=True):
    """Loads the state of the bare model; returns the keys that were missing or unexpected.

    Args:
        model (Module): the model, wrapped or not.
        model_state_dict (dict): as of :func:`get_model_state_dict`.
        strict (bool): raise where keys are missing or unexpected.

    Example::

        >>> from nnlib.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
        >>> net, other = nnlib.nn.Linear(1, 1), nnlib.nn.Linear(1, 1)
        >>> set_model_state_dict(other, get_model_state_dict(net))
        <All keys matched successfully>
    """
    return _bare(model).load_state_dict(model_state_dict, strict=strict)


def set_optimizer_state_dict(model, optimizers, optim_state_dict):
    """Loads the optimizers' states, group by group with the group that has the same parameters.

    Args:
        model (Module): whose parameters they are.
        optimizers (Optimizer or iterable): the optimizers.
        optim_state_dict (dict): as of :func:`get_optimizer_state_dict`.

    Raises:
        ValueError: there is no group of these parameters.

    Example::

        >>> from nnlib.distributed.checkpoint import state_dict
        >>> net = nnlib.nn.Linear(1, 1)
        >>> one, other = nnlib.optim.SGD(net.parameters(), lr=0.5), nnlib.optim.SGD(net.parameters())
        >>> saved = state_dict.get_optimizer_state_dict(net, one)
        >>> state_dict.set_optimizer_state_dict(net, other, saved)
        >>> other.param_groups[0]["lr"]
        0.5
    """
    saved = {frozenset(group["params"]): group for group in optim_state_dict["param_groups"]}
    for optimizer in _several(optimizers):
        names = _names(model, optimizer)
        numbers = {name: number for number, name in names.items()}
        groups = []
        for group in optimizer.state_dict()["param_groups"]:
            mine = frozenset(names[number] for number in group["params"])
            if mine not in saved:
                raise ValueError(f"the saved state has no parameter group of {', '.join(sorted(mine))}")
            groups.append({**saved[mine], "params": group["params"]})
        state = {numbers[n]: value for n, value in optim_state_dict["state"].items() if n in numbers}
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _bare(model):
    while isinstance(model, (DistributedDataParallel, DataParallel)):
        model = model.module
    return model


def _several(optimizers):
    return [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)


def _names(model, optimizer):
    """The names of an optimizer's parameters by the numbers that its state has for them."""
    known = {id(parameter): name for name, parameter in _bare(model).named_parameters()}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    unknown = [i for i, p in enumerate(parameters) if id(p) not in known]
    if unknown:
        raise ValueError(f"the optimizer's parameter {unknown[0]} is not a parameter of the model")
    return {i: known[id(p)] for i, p in enumerate(parameters)}
