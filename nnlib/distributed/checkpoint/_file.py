"""Writing a checkpoint from rank 0, reading it there, and handing it out."""

import os

import nnlib

from ..._atomic import remove_leftovers
from ..collectives import broadcast
from ..objects import broadcast_object_list, gather_object
from ..process_group import is_initialized, resolve
from ._entries import PerRank, Stateful

ABOUT = "nnlib.distributed.checkpoint"  # the entry of a file that says how it was made


class CheckpointException(RuntimeError):
    """A checkpoint could not be written or read; raised on all ranks.

    Example::

        >>> import nnlib.distributed.checkpoint as dcp
        >>> try:
        ...     dcp.load({"step": 0}, checkpoint_id="/nowhere/run.pt")
        ... except dcp.CheckpointException:
        ...     print("from the start")
        from the start
    """


def save(state_dict, *, checkpoint_id, process_group=None):
    """Writes a checkpoint of all ranks into one file. A collective: all ranks of the group call it.

    The group's first rank writes, and all return when the file is complete on the disk. It is written beside
    the old one and renamed, so a job that is killed at any moment leaves a whole checkpoint, old or new.
    :func:`nnlib.load` and ``torch.load`` read the file too: a dict of the states, for a :class:`PerRank` a list.

    Args:
        state_dict (dict): by name, tensors and plain data (numbers, strings, lists, dicts), or objects with
            ``state_dict`` and ``load_state_dict``. They are taken from the first rank, those in
            :class:`PerRank` from every rank. The names are the same on all ranks.
        checkpoint_id (str or PathLike): the path of the file.
        process_group (ProcessGroup): the ranks that take part; by default all.

    Raises:
        CheckpointException: on all ranks, when the first one cannot write the file.

    Example::

        >>> import nnlib, os, tempfile
        >>> import nnlib.distributed.checkpoint as dcp
        >>> net = nnlib.nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "checkpoint.pt")
        ...     dcp.save({"model": net, "epoch": 3, "random": dcp.RandomState()}, checkpoint_id=path)
        ...     state = {"model": net, "epoch": 0}
        ...     dcp.load(state, checkpoint_id=path)
        >>> state["epoch"]
        3
    """
    group = _Ranks(process_group)
    if group.outside:
        return
    mine, own = {}, {}
    for name, value in state_dict.items():
        if isinstance(value, PerRank):
            own[name] = value.state_dict()
        elif hasattr(value, "consolidate_state_dict"):  # spread over the ranks: they send their parts
            value.consolidate_state_dict(to=group.first)
            mine[name] = value.state_dict() if group.leads else None
        else:
            mine[name] = value.state_dict() if isinstance(value, Stateful) else value
    owned = group.gather(own)

    def write():
        path = os.fspath(checkpoint_id)
        content = {**mine, **{name: [part[name] for part in owned] for name in own}}
        content[ABOUT] = {"version": 1, "ranks": group.size, "per_rank": list(own)}
        remove_leftovers(path)
        nnlib.save(content, path)

    group.on_first(write, f"could not write the checkpoint {checkpoint_id}")


def load(state_dict, *, checkpoint_id, process_group=None):
    """Loads a checkpoint into what ``state_dict`` holds. A collective; the first rank reads and sends.

    Objects with ``load_state_dict`` are given their state, tensors are filled in place, and other values of
    the dict are replaced. What the file has besides is left alone. The number of ranks may be another one than
    it was: then ranks that are new keep their own :class:`PerRank` states.

    Args:
        state_dict (dict): what to load, as for :func:`save`.
        checkpoint_id (str or PathLike): the path of the file, which the first rank alone has to reach.
        process_group (ProcessGroup): the ranks that take part; by default all.

    Raises:
        CheckpointException: on all ranks, when the file cannot be read or lacks an entry; nothing is changed.

    Example::

        >>> import nnlib.distributed.checkpoint as dcp
        >>> state = {"model": model, "step": 0}  # doctest: +SKIP
        >>> dcp.load(state, checkpoint_id="run.pt")  # doctest: +SKIP
        >>> state["step"]  # doctest: +SKIP
        300
    """
    group = _Ranks(process_group)
    if group.outside:
        return

    def read():
        content = nnlib.load(checkpoint_id)
        if not isinstance(content, dict) or ABOUT not in content:
            raise ValueError("it is not a file that nnlib.distributed.checkpoint.save wrote")
        missing = [name for name in state_dict if name not in content]
        if missing:
            raise KeyError(f"it has no entry {', '.join(map(repr, missing))}")
        return {name: content[name] for name in (*state_dict, ABOUT)}

    content = group.hand_out(group.on_first(read, f"could not read the checkpoint {checkpoint_id}"))
    own = content.pop(ABOUT)["per_rank"]
    for name, value in state_dict.items():
        if isinstance(value, PerRank) != (name in own):
            raise CheckpointException(
                f"{name!r} was saved {'by each rank' if name in own else 'once for all ranks'}"
            )
    for name, saved in content.items():
        if name not in own:
            state_dict[name] = _take(name, state_dict[name], saved)
        elif group.rank < len(saved):
            state_dict[name].load_state_dict(saved[group.rank])


def _take(name, value, saved):
    """What a dict holds after `saved` was loaded into its `value`."""
    if isinstance(value, Stateful):
        value.load_state_dict(saved)
        return value
    if isinstance(value, nnlib.Tensor):
        if not isinstance(saved, nnlib.Tensor) or saved.shape != value.shape:
            what = tuple(saved.shape) if isinstance(saved, nnlib.Tensor) else type(saved).__name__
            raise CheckpointException(f"{name} is a tensor of {tuple(value.shape)}, but {what} was saved")
        with nnlib.no_grad():
            value.copy_(saved)
        return value
    if isinstance(value, dict) and isinstance(saved, dict):
        for key in saved:
            value[key] = _take(f"{name}.{key}", value[key], saved[key]) if key in value else saved[key]
        return value
    return saved


class _Ranks:
    """The ranks that take part; one, and nobody to talk to, where there is no process group."""

    def __init__(self, process_group):
        group = resolve(process_group) if process_group is not None or is_initialized() else None
        self.outside = group is None and process_group is not None
        self.group = group
        self.rank, self.size = (group.rank(), group.size()) if group is not None else (0, 1)
        self.first = group.ranks[0] if group is not None else 0
        self.leads = self.rank == 0

    def gather(self, value):
        """All ranks' values, on the first."""
        if self.size == 1:
            return [value]
        values = [None] * self.size if self.leads else None
        gather_object(value, values, group=self.group, group_dst=0)
        return values

    def on_first(self, act, failure):
        """Runs it on the first rank while the others wait; raises on all when it raises. Returns its result there."""
        result = error = None
        if self.leads:
            try:
                result = act()
            except Exception as problem:
                error = problem
        text = [None if error is None else f"{type(error).__name__}: {error}"]
        if self.size > 1:
            broadcast_object_list(text, group=self.group, group_src=0)
        if text[0] is not None:
            raise CheckpointException(f"rank {self.first} {failure}: {text[0]}") from error
        return result

    def hand_out(self, value):
        """The first rank's value on all of them; tensors travel one by one, without being pickled."""
        if self.size == 1:
            return value
        tensors = []
        plan = [_without_tensors(value, tensors)] if self.leads else [None]
        broadcast_object_list(plan, group=self.group, group_src=0)
        return _with_tensors(plan[0], iter(tensors) if self.leads else None, self.group)


class _Place:
    """Stands for a tensor in what is sent before it."""

    def __init__(self, tensor):
        self.shape, self.dtype = tuple(tensor.shape), str(tensor.dtype).rpartition(".")[2]


def _without_tensors(value, tensors):
    if isinstance(value, nnlib.Tensor):
        tensors.append(value)
        return _Place(value)
    if isinstance(value, dict):
        return {key: _without_tensors(part, tensors) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_tensors(part, tensors) for part in value)
    return value


def _with_tensors(value, tensors, group):
    if isinstance(value, _Place):
        dtype = getattr(nnlib, value.dtype)
        tensor = (
            nnlib.empty(value.shape, dtype=dtype) if tensors is None else next(tensors).detach().contiguous()
        )
        broadcast(tensor, group=group, group_src=0)
        return tensor
    if isinstance(value, dict):
        return {key: _with_tensors(part, tensors, group) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_tensors(part, tensors, group) for part in value)
    return value
