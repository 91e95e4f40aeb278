"""Anomaly detection: where did the operator run whose backward failed or gave NaN?"""

from __future__ import annotations

import warnings

from .. import _C


class set_detect_anomaly:
    """Switches anomaly detection on or off, for good or as a context manager.

    Args:
        mode: on or off.
        check_nan: NaN in a gradient is an error while it is on.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = (_C.is_anomaly_enabled(), _C.is_anomaly_check_nan_enabled())
        _C._set_anomaly(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc) -> None:
        _C._set_anomaly(*self._before)


class detect_anomaly:
    """A context in which backward errors name the forward code, and NaN in a gradient is an error.

    It slows programs down: each recorded operator keeps a stack trace.
    """

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be "
            "enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = (_C.is_anomaly_enabled(), _C.is_anomaly_check_nan_enabled())
        _C._set_anomaly(True, self.check_nan)

    def __exit__(self, *exc) -> None:
        _C._set_anomaly(*self._before)
