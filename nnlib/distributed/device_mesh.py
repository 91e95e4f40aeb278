"""Ranks in a grid, with a group for each line of it, as in torch.distributed.device_mesh."""

import math

from .. import tensor
from .collectives import broadcast
from .initialize import init_process_group, new_group
from .process_group import GroupMember, get_rank, get_world_size, is_initialized

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """The ranks of the world in a grid of any number of dimensions.

    Ranks whose places differ in one dimension alone have a group of their own. All ranks of the world make a mesh
    together.

    Args:
        device_type (str): must be ``"cpu"``.
        mesh (Tensor or nested list of int): the world's ranks, each at most once.
        mesh_dim_names (tuple of str): a name for each dimension.

    Attributes:
        mesh (Tensor): the ranks. ndim, shape, mesh_dim_names, device_type: of the grid.

    Raises:
        ValueError: another device, a rank that is not there or is there twice, names that do not fit.

    Example::

        >>> from nnlib.distributed.device_mesh import DeviceMesh
        >>> mesh = DeviceMesh("cpu", [[0]], mesh_dim_names=("data", "model"))
        >>> mesh["data"].get_group().size(), mesh.get_coordinate()
        (1, [0, 0])
    """

    def __init__(self, device_type, mesh, *, mesh_dim_names=None):
        if device_type != "cpu":
            raise ValueError(f'expected device_type to be "cpu", but got {device_type!r}')
        if not is_initialized():
            init_process_group()
        self.device_type = device_type
        self.mesh = (mesh if hasattr(mesh, "tolist") else tensor(mesh)).long()
        self.mesh_dim_names = None if mesh_dim_names is None else tuple(mesh_dim_names)
        self._check()
        self._groups = [self._make_groups(dim) for dim in range(self.ndim)]

    def _check(self):
        ranks = self.mesh.flatten().tolist()
        if self.ndim == 0 or not ranks:
            raise ValueError("expected a mesh with at least one dimension and one rank")
        if len(set(ranks)) != len(ranks) or min(ranks) < 0 or max(ranks) >= get_world_size():
            raise ValueError(
                f"expected a mesh of different ranks from 0 to {get_world_size() - 1}, but got {ranks}"
            )
        names = self.mesh_dim_names
        if names is not None and (len(names) != self.ndim or len(set(names)) != len(names)):
            raise ValueError(f"expected mesh_dim_names to be {self.ndim} different names, but got {names}")
        mine = self.mesh.clone()
        broadcast(mine, 0)
        if mine.tolist() != self.mesh.tolist():
            raise RuntimeError(
                f"rank {get_rank()} makes the mesh {self.mesh.tolist()}, but rank 0 {mine.tolist()}"
            )

    def _make_groups(self, dim):
        mine = None
        for line in self.mesh.movedim(dim, -1).reshape(-1, self.mesh.shape[dim]).tolist():
            group = new_group(line)
            if group is not GroupMember.NON_GROUP_MEMBER:
                mine = group
        return mine

    @property
    def ndim(self):
        """The number of dimensions."""
        return self.mesh.dim()

    @property
    def shape(self):
        """The sizes of all dimensions."""
        return tuple(self.mesh.shape)

    def size(self, mesh_dim=None):
        """The size of a dimension, or the number of ranks."""
        return self.mesh.numel() if mesh_dim is None else self.mesh.shape[self._dim(mesh_dim)]

    def get_group(self, mesh_dim=None):
        """The group of this rank's line along a dimension (a number or a name); of the only one by default."""
        if mesh_dim is None and self.ndim != 1:
            raise RuntimeError(f"the mesh has {self.ndim} dimensions: give mesh_dim")
        return self._mine(self._groups[self._dim(mesh_dim or 0)])

    def get_all_groups(self):
        """This rank's groups, one for each dimension."""
        return [self._mine(group) for group in self._groups]

    def get_rank(self):
        """This process's rank in the world."""
        return get_rank()

    def get_local_rank(self, mesh_dim=None):
        """This rank's place along a dimension (of the only one by default)."""
        return self.get_group(mesh_dim).rank()

    def get_coordinate(self):
        """This rank's place in the grid, a list; None when it is not part of it."""
        if self._groups[0] is None:
            return None
        return (self.mesh == get_rank()).nonzero()[0].tolist()

    def __getitem__(self, mesh_dim_name):
        """The mesh of this rank's line along a dimension."""
        dim, place = self._dim(mesh_dim_name), self.get_coordinate()
        if place is None:
            raise RuntimeError(f"rank {get_rank()} is not part of the mesh")
        line = self.mesh
        for other in reversed(range(self.ndim)):
            if other != dim:
                line = line.select(other, place[other])
        part = DeviceMesh.__new__(DeviceMesh)
        part.device_type, part.mesh, part.mesh_dim_names = self.device_type, line, (mesh_dim_name,)
        part._groups = [self._groups[dim]]
        return part

    def _dim(self, mesh_dim):
        if isinstance(mesh_dim, str):
            if mesh_dim not in (self.mesh_dim_names or ()):
                raise KeyError(f"the mesh has no dimension {mesh_dim!r}, but {self.mesh_dim_names}")
            return self.mesh_dim_names.index(mesh_dim)
        if not -self.ndim <= mesh_dim < self.ndim:
            raise IndexError(f"the mesh has {self.ndim} dimensions, but mesh_dim is {mesh_dim}")
        return mesh_dim % self.ndim

    def _mine(self, group):
        if group is None:
            raise RuntimeError(f"rank {get_rank()} is not part of the mesh")
        return group

    def __repr__(self):
        return f"DeviceMesh({self.device_type!r}, {self.mesh.tolist()}, mesh_dim_names={self.mesh_dim_names})"


def init_device_mesh(device_type, mesh_shape, *, mesh_dim_names=None):
    """All ranks of the world in a grid of that shape, in order, the last dimension running fastest.

    Args:
        device_type (str): must be ``"cpu"``.
        mesh_shape (tuple of int): its product is the world's size.
        mesh_dim_names (tuple of str): a name for each dimension.

    Returns DeviceMesh.

    Raises:
        RuntimeError: a shape that does not have as many places as there are ranks.

    Example::

        >>> from nnlib.distributed.device_mesh import init_device_mesh
        >>> init_device_mesh("cpu", (1, 1), mesh_dim_names=("data", "model"))
        DeviceMesh('cpu', [[0]], mesh_dim_names=('data', 'model'))
    """
    if not is_initialized():
        init_process_group()
    shape = tuple(mesh_shape)
    if math.prod(shape) != get_world_size():
        raise RuntimeError(f"expected a mesh of {get_world_size()} ranks, but the shape is {shape}")
    return DeviceMesh(
        device_type, tensor(list(range(get_world_size()))).reshape(shape), mesh_dim_names=mesh_dim_names
    )
