"""What programs ask before they choose a device, and the switches that they set without looking."""

import warnings

import pytest

import nnlib


def test_nothing_beside_the_cpu():
    backends = nnlib.backends
    for there in (
        nnlib.cuda.is_available, nnlib.cuda.is_initialized, nnlib.cuda.is_bf16_supported,
        nnlib.accelerator.is_available, backends.mps.is_available,
        backends.mps.is_built, backends.cuda.is_built, backends.cudnn.is_available,
        backends.mkl.is_available, backends.mkldnn.is_available,
    ):  # fmt: skip
        assert there() is False
    assert (
        nnlib.cuda.device_count()
        == nnlib.accelerator.device_count()
        == nnlib.cuda.max_memory_allocated()
        == 0
    )
    assert nnlib.accelerator.current_accelerator() is None and backends.cudnn.version() is None
    assert nnlib.version.cuda is None and nnlib.version.__version__ == nnlib.__version__
    assert nnlib.cuda.get_rng_state_all() == nnlib.cuda.get_arch_list() == []
    for call in (nnlib.cuda.synchronize, nnlib.cuda.get_device_name, nnlib.cuda.current_device):
        with pytest.raises(RuntimeError, match="CPUs only"):
            call()


def test_the_instruction_set_has_pytorchs_name():
    expected = {"avx512": "AVX512", "amx": "AVX512", "avx2": "AVX2"}.get(nnlib._C._isa(), "DEFAULT")
    assert nnlib.backends.cpu.get_cpu_capability() == expected


def test_switches_are_kept_and_regions_give_them_back():
    cudnn = nnlib.backends.cudnn
    with cudnn.flags(enabled=False, benchmark=True):
        assert not cudnn.enabled and cudnn.benchmark and cudnn.allow_tf32
    assert cudnn.enabled and not cudnn.benchmark and not cudnn.deterministic
    with pytest.raises(ZeroDivisionError), cudnn.flags(deterministic=True):
        1 / 0  # noqa: B018
    assert not cudnn.deterministic
    matmul = nnlib.backends.cuda.matmul
    matmul.allow_tf32 = True
    assert matmul.allow_tf32
    matmul.allow_tf32 = False


def test_mixed_precision_by_its_old_names_is_off():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler = nnlib.cuda.amp.GradScaler()
        with nnlib.cuda.amp.autocast():
            assert (nnlib.ones(2, 2) @ nnlib.ones(2, 2)).dtype == nnlib.float32
    x = nnlib.ones(1)
    assert not scaler.is_enabled() and scaler.scale(x) is x
    with pytest.warns(FutureWarning, match="torch.amp.autocast"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "CUDA is not available")
        nnlib.cuda.amp.autocast(enabled=False)
    with pytest.warns(FutureWarning, match="torch.amp.GradScaler"):
        nnlib.cuda.amp.GradScaler(enabled=False)
