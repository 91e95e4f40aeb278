"""Walking through a module's tree, and finding things in it by their dotted names."""

from ..parameter import Parameter


def _member(module, name):
    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)


class ModuleLookup:
    """The part of `Module` that looks through the tree of submodules."""

    def _named_members(self, get_members, prefix="", recurse=True, remove_duplicate=True):
        seen = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for module_name, module in modules:
            for name, value in get_members(module):
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{module_name}.{name}" if module_name else name, value

    def parameters(self, recurse=True):
        """Iterate over the parameters of this module and, if `recurse`, of all below it; each one once."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """Iterate over (name, parameter).

        Args:
            prefix (str): put before every name. Default: ``""``.
            recurse (bool): go into the modules below. Default: ``True``.
            remove_duplicate (bool): name a shared parameter only once. Default: ``True``.

        Example::

            >>> import nnlib
            >>> [(name, tuple(p.shape)) for name, p in nnlib.nn.Linear(3, 2).named_parameters()]
            [('weight', (2, 3)), ('bias', (2,))]
        """
        yield from self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """Iterate over the buffers of this module and, if `recurse`, of all below it; each one once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """Iterate over (name, buffer), persistent or not; arguments as in `named_parameters`."""
        yield from self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def children(self):
        """Iterate over the modules directly below this one; each one once."""
        for _, module in self.named_children():
            yield module

    def named_children(self):
        """Iterate over (name, module) of the modules directly below this one."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self, remove_duplicate=True):
        """Iterate over this module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """Iterate over (name, module) of this module, whose name is `prefix`, and of all below it.

        Args:
            memo (set, optional): modules to leave out; those met are added to it.
            prefix (str): put before every name. Default: ``""``.
            remove_duplicate (bool): name a module that is used twice only once. Default: ``True``.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def get_submodule(self, target):
        """The module with the dotted name `target`; the empty string is this module.

        Raises:
            AttributeError: there is no such attribute, or it is not a module.
        """
        module = self
        for name in target.split(".") if target else ():
            module = _member(module, name)
            if not isinstance(module, ModuleLookup):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target, module, strict=False):
        """Put `module` in the place with the dotted name `target`.

        Args:
            target (str): where; all but the last part have to exist.
            module (Module): what.
            strict (bool): the last part has to exist as well. Default: ``False``.

        Raises:
            ValueError: `target` is empty, or `module` is not a module.
            AttributeError: a part of the name does not exist, or is not a module.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, ModuleLookup):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict or hasattr(parent, name):
            if not isinstance(_member(parent, name), ModuleLookup):
                raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target):
        """The parameter with the dotted name `target`; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        param = _member(self.get_submodule(path), name)
        if not isinstance(param, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return param

    def get_buffer(self, target):
        """The buffer with the dotted name `target`; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        buffer = _member(module, name)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return buffer
