"""The exceptions of nnlib.distributed, named as in torch.distributed."""


class DistError(RuntimeError):
    """Base of every error that communication between ranks can end with."""


class DistBackendError(DistError):
    """Ranks disagree, a rank is gone, or the transport failed."""


class DistTimeoutError(DistBackendError, TimeoutError):
    """A collective did not end before its deadline."""
