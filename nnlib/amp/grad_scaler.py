"""Scaling of losses, so that small gradients do not vanish in float16."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Iterable

from .. import _C
from ..autograd import no_grad

__all__ = ["GradScaler", "OptState"]


class OptState(enum.Enum):
    """How far an optimizer has come since the last ``update``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _new_state() -> dict:
    return {"stage": OptState.READY, "found_inf": None}


class GradScaler:
    """Multiplies losses by a scale, divides gradients by it, and lets no step be made of infinities or NaN.

    The scale grows by `growth_factor` after `growth_interval` steps without infinity or NaN, and shrinks by
    `backoff_factor` after one with. bfloat16 has float32's range and needs no scaler; float16 does.

    Args:
        device (str): ``"cpu"``; PyTorch's default ``"cuda"`` is taken and switched off with a warning.
        init_scale (float): Default: 65536.
        growth_factor (float): above 1. Default: 2.
        backoff_factor (float): below 1. Default: 0.5.
        growth_interval (int): Default: 2000.
        enabled (bool): False makes every method hand on what it gets. Default: ``True``

    Raises:
        AssertionError: factors on the wrong side of 1, or calls in a wrong order. RuntimeError: unscaling or
        stepping twice before ``update``.

    >>> w = nnlib.ones(1, requires_grad=True)
    >>> optimizer, scaler = nnlib.optim.SGD([w], lr=0.5), nnlib.amp.GradScaler("cpu")
    >>> scaler.scale(w.sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w.item(), scaler.get_scale()
    (0.5, 65536.0)

    Source: Micikevicius and others, "Mixed Precision Training" (2018).
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        if device == "cuda" and enabled:
            warnings.warn(
                "torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2
            )
            enabled = False
        self._enabled = enabled
        if not enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._used = False
        self._states: dict[int, dict] = {}

    def scale(self, outputs):
        """The tensor, or each tensor of an iterable, times the scale."""
        if not self._enabled:
            return outputs
        self._used = True
        if isinstance(outputs, _C.Tensor):
            return outputs * _C.full((), self._scale)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _check_used(self, function: str) -> None:
        if not self._used:
            raise AssertionError(
                f"Attempted {function} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )

    def _state(self, optimizer) -> dict:
        return self._states.setdefault(id(optimizer), _new_state())

    def unscale_(self, optimizer) -> None:
        """Divide the optimizer's gradients by the scale, e.g. to clip them before ``step``.

        ValueError for float16 gradients; RuntimeError when called twice before ``update``, or after ``step``.
        """
        if not self._enabled:
            return
        self._check_used("unscale_")
        state = self._state(optimizer)
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        state["found_inf"] = _unscale(optimizer, 1.0 / self._scale)
        state["stage"] = OptState.UNSCALED

    def step(self, optimizer, *args, **kwargs):
        """``optimizer.step(...)`` unless a gradient holds infinity or NaN; unscales first where that is not done."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_used("step")
        state = self._state(optimizer)
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if state["found_inf"] is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None if state["found_inf"] else optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale=None) -> None:
        """Choose the scale of the next iteration, or set it. Call it once an iteration, after all steps."""
        if not self._enabled:
            return
        self._check_used("update")
        if new_scale is not None:
            self._scale = self._checked_scale(new_scale)
        else:
            found = [s["found_inf"] for s in self._states.values() if s["found_inf"] is not None]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt(any(found))
        self._states = {}

    @staticmethod
    def _checked_scale(new_scale) -> float:
        if isinstance(new_scale, float):
            return new_scale
        if not isinstance(new_scale, _C.Tensor) or new_scale.numel() != 1 or new_scale.requires_grad:
            raise AssertionError(
                "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
                "requires_grad=False."
            )
        return float(new_scale)

    def _adapt(self, found_inf: bool) -> None:
        if found_inf:
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            grown = self._scale * self._growth_factor
            self._scale = grown if grown <= _FLOAT32_MAX else self._scale
            self._growth_tracker = 0

    def get_scale(self) -> float:
        """The scale; 1 where scaling is off."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """The factor by which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """The factor by which the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """The number of steps without infinity or NaN after which the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the number of steps after which the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether losses are scaled."""
        return self._enabled

    def state_dict(self) -> dict:
        """Scale, factors, interval and the count of good steps; empty where scaling is off."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from what :meth:`state_dict` gave. RuntimeError for an empty one."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of "
                "GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]

    def __getstate__(self) -> dict:
        if self._enabled and self._states:
            raise AssertionError(
                "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                "scaler.update()."
            )
        return self.__dict__.copy()


_FLOAT32_MAX = 3.4028234663852886e38


def _unscale(optimizer, factor: float) -> bool | None:
    """Multiply the gradients by `factor`; whether one was not finite, None where there was none to look at."""
    found = None
    with no_grad():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                grad = parameter.grad
                if grad is None:
                    continue
                if grad.dtype == _C.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                values = grad._values() if grad.is_sparse else grad
                values.mul_(factor)
                found = bool(found) or not bool(values.isfinite().all())
    return found
