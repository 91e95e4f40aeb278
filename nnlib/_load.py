"""Loads the native module so that its idle threads go to sleep soon.

After a parallel region libgomp's threads spin for milliseconds in the hope of more work. Where another
process wants the core (a second MPI rank, a data loader) each spin is time stolen from it, and steps become
several times slower. libgomp reads how long to spin from the environment, once, while it is being loaded:
so the setting is put there for just that moment, and what the user has set is left alone.
"""

import importlib
import os
from types import ModuleType

# About 20 microseconds of the processor's pause instruction; then a thread waits in the kernel.
SPIN_COUNT = "800"


def load_native(name: str = "nnlib._C") -> ModuleType:
    """Import the native module ``name`` with a short spin of OpenMP's threads, and return it.

    The environment is afterwards what it was before. ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` set by the
    user win.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return importlib.import_module(name)
    os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    try:
        return importlib.import_module(name)
    finally:
        del os.environ["GOMP_SPINCOUNT"]
