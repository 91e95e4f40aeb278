"""Files that are replaced in one step."""

import contextlib
import glob
import os
import stat
import threading


@contextlib.contextmanager
def replacing(path):
    """A file open for bytes that becomes `path` when the block ends without an error.

    It is written beside `path` and renamed, so whoever opens `path`, after a crash too, finds the whole old
    file or the whole new one. What is no regular file (a pipe, ``/dev/null``) is written to as it is.
    """
    path = os.path.realpath(os.fspath(path))
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            yield file
        return
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{threading.get_ident():x}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with open(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    # The new name has to reach the disk too, or a power failure could undo it.
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove_leftovers(path):
    """Removes what writers of `path` that were killed have left beside it. Nobody else may be writing it."""
    folder, name = os.path.split(os.path.realpath(os.fspath(path)))
    for leftover in glob.glob(os.path.join(glob.escape(folder), f".{glob.escape(name)}.*.tmp")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(leftover)
