"""A save replaces a file in one step: whatever happens, the old one or the new one is there, whole."""

import os
import pickle
import signal
import stat
import subprocess
import sys

import pytest

import nnlib
from nnlib._atomic import replacing

KILLED = """
import os, signal, sys
import nnlib

path = sys.argv[1]
os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)  # all is written, not yet in place
nnlib.save(nnlib.ones(1000), path)
"""


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    nnlib.save([1, 2], path)
    with pytest.raises(pickle.PicklingError):
        nnlib.save([nnlib.ones(3), lambda: 0], path)
    assert nnlib.load(path) == [1, 2] and os.listdir(tmp_path) == ["model.pt"]


def test_a_killed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    nnlib.save([1, 2], path)
    process = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert nnlib.load(path) == [1, 2]


def test_links_and_modes_are_kept(tmp_path):
    path, link = tmp_path / "model.pt", tmp_path / "link.pt"
    nnlib.save(1, path)
    os.chmod(path, 0o640)
    link.symlink_to(path)
    nnlib.save(2, link)
    assert link.is_symlink() and nnlib.load(path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        nnlib.save(1, str(tmp_path / "model.pt"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.pt").stat().st_mode) == 0o640


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="Parent directory .*missing does not exist"):
        nnlib.save(1, tmp_path / "missing" / "model.pt")


def test_devices_are_written_to():
    nnlib.save([1], "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_replacing_gives_the_file_only_when_the_block_ends(tmp_path):
    path = tmp_path / "notes"
    with replacing(path) as file:
        file.write(b"text")
        assert not path.exists()
    assert path.read_bytes() == b"text"
