"""The instruction set that operators run on."""

from .. import _C

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """``"AVX512"``, ``"AVX2"`` or ``"DEFAULT"``, by PyTorch's names: the first with AMX and AVX512-BF16 too.

    >>> nnlib.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2", "DEFAULT")
    True
    """
    return {
        "amx": "AVX512",
        "avx512_bf16": "AVX512",
        "avx512": "AVX512",
        "avx2": "AVX2",
    }.get(_C._isa(), "DEFAULT")
