"""Mixed precision: operators that gain from 16-bit floats run in them, the others keep float32.

Source: Micikevicius and others, "Mixed Precision Training" (2018); Kalamkar and others, "A Study of BFLOAT16 for
Deep Learning Training" (2019).
"""

from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
