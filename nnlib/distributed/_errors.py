"""The exceptions of nnlib.distributed, named as in torch.distributed."""


class DistError(RuntimeError):
    """Base of every error that communication between ranks can end with.

    Example::

        >>> try:  # doctest: +SKIP
        ...     dist.all_reduce(t)
        ... except dist.DistError as error:
        ...     print(error)  # which ranks did what
    """


class DistBackendError(DistError):
    """Ranks disagree, a rank is gone, or the transport failed.

    Example::

        >>> try:  # doctest: +SKIP
        ...     dist.all_reduce(t)
        ... except dist.DistBackendError as error:
        ...     print(error)  # which ranks did what
    """


class DistTimeoutError(DistBackendError, TimeoutError):
    """A collective did not end before its deadline.

    Example::

        >>> try:  # doctest: +SKIP
        ...     dist.all_reduce(t)
        ... except dist.DistTimeoutError as error:
        ...     print(error)  # which ranks did what
    """
