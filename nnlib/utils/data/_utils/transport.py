"""Carries Python objects between processes; the memory of tensors and arrays goes as shared memory.

A message is pickled with its buffers left out (pickle protocol 5). Buffers of some size are written to one
anonymous memory file for the message, whose descriptor travels over the socket; the receiver maps it, and
the mapping lives as long as a tensor on it. There is nothing to unlink: when a process is killed, the
kernel frees what it held. Where the system has no such files, buffers go through the socket.
"""

import io
import mmap
import os
import pickle
import socket
import struct
from multiprocessing.reduction import ForkingPickler

import nnlib

# Below this many bytes a copy through the socket is cheaper than a mapping.
_SHARE_FROM = 1 << 15
_ALIGN = 64
_HEADER = struct.Struct("!QQ?")  # bytes of the pickle, number of buffers, whether they are shared


def _rebuild_tensor(array, order, dtype_name, requires_grad):
    tensor = nnlib.from_numpy(array)
    if order is not None:
        # Back from memory order to the order of the dimensions.
        tensor = tensor.permute(*(order.index(d) for d in range(len(order))))
    dtype = getattr(nnlib, dtype_name)
    if tensor.dtype != dtype:
        tensor = tensor.view(dtype)
    return tensor.requires_grad_(True) if requires_grad else tensor


def _reduce_tensor(tensor):
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not "
            "support crossing process boundaries.  If you just want to transfer the data, call detach() on "
            "the tensor before serializing (e.g., putting it on the queue)."
        )
    values = tensor.detach()
    order = None
    if not values.is_contiguous():
        strides = values.stride()
        order = sorted(range(values.dim()), key=lambda d: -strides[d])
        values = values.permute(*order)
        if not values.is_contiguous():
            values = tensor.detach().contiguous()
            order = None
    name = str(tensor.dtype).rpartition(".")[2]
    if name == "bfloat16":
        values = values.view(nnlib.int16)  # NumPy has no bfloat16
    return _rebuild_tensor, (values.numpy(), order, name, tensor.requires_grad)


class _Pickler(ForkingPickler):
    """Takes tensors apart into arrays, whose memory protocol 5 leaves out of the pickle."""

    def __init__(self, file, buffers):
        # ForkingPickler's own __init__ takes no buffer_callback.
        pickle.Pickler.__init__(self, file, protocol=5, buffer_callback=lambda b: buffers.append(b.raw()))
        self.dispatch_table = ForkingPickler(io.BytesIO()).dispatch_table

    def reducer_override(self, obj):
        if type(obj) is nnlib.Tensor and not obj.is_sparse:
            return _reduce_tensor(obj)
        return NotImplemented


def dumps(obj):
    """Returns the pickle of an object, and its buffers as a list of memoryviews of bytes."""
    file, buffers = io.BytesIO(), []
    _Pickler(file, buffers).dump(obj)
    return file.getvalue(), buffers


def share(buffers):
    """Writes buffers into a new anonymous memory file; returns its descriptor, or None without such files."""
    if not hasattr(os, "memfd_create"):
        return None
    fd = os.memfd_create("nnlib", os.MFD_CLOEXEC)
    try:
        position = 0
        for buffer in buffers:
            done = 0
            while done < len(buffer):
                done += os.pwrite(fd, buffer[done:], position + done)
            position += -(-len(buffer) // _ALIGN) * _ALIGN
        os.ftruncate(fd, max(position, 1))
    except BaseException:
        os.close(fd)
        raise
    return fd


def map_shared(fd, sizes, private=False):
    """The buffers of a memory file; a private mapping copies the pages that are written to."""
    flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED
    whole = memoryview(mmap.mmap(fd, 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    views, position = [], 0
    for size in sizes:
        views.append(whole[position : position + size])
        position += -(-size // _ALIGN) * _ALIGN
    return views


class Channel:
    """One end of a two-way connection between processes."""

    def __init__(self, connection):
        self.connection = connection
        # Descriptors travel by calls that only sockets have. Made now, so that no message breaks off in the
        # middle because the process has run out of files.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=os.dup(connection.fileno()))

    def fileno(self):
        """The descriptor, so that a channel can be waited for."""
        return self.connection.fileno()

    def send(self, obj):
        """Sends an object. Raises OSError when the other end is gone."""
        payload, buffers = dumps(obj)
        fd = share(buffers) if sum(map(len, buffers)) >= _SHARE_FROM else None
        try:
            sizes = struct.pack(f"!{len(buffers)}Q", *map(len, buffers))
            self.connection.send_bytes(
                _HEADER.pack(len(payload), len(buffers), fd is not None) + sizes + payload
            )
            if fd is not None:
                socket.send_fds(self._socket, [b"m"], [fd])
            else:
                for buffer in buffers:
                    self.connection.send_bytes(buffer)
        finally:
            if fd is not None:
                os.close(fd)

    def receive(self):
        """Waits for an object. Raises EOFError or OSError when the other end is gone."""
        message = self.connection.recv_bytes()
        length, count, shared = _HEADER.unpack_from(message)
        sizes = struct.unpack_from(f"!{count}Q", message, _HEADER.size)
        if shared:
            buffers = self._receive_shared(sizes)
        else:
            buffers = [bytearray(self.connection.recv_bytes()) for _ in sizes]
        return pickle.loads(memoryview(message)[len(message) - length :], buffers=buffers)

    def _receive_shared(self, sizes):
        data, fds, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not data:
            raise EOFError
        if not fds:
            raise RuntimeError(
                "Too many open files. Communication with the workers is no longer possible. Please increase "
                "the limit using `ulimit -n` in the shell"
            )
        try:
            return map_shared(fds[0], sizes)
        finally:
            os.close(fds[0])

    def close(self):
        """Ends the connection for both sides, whoever else holds a copy of the descriptor."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was closed first
        self.abandon()

    def abandon(self):
        """Closes this process's descriptors; the connection goes on where another process holds it."""
        self._socket.close()
        self.connection.close()


class Shipment:
    """An object on its way to a new process that does not inherit memory (spawn and forkserver).

    The buffers are written once for all processes; each maps them privately, so that none sees what
    another writes.
    """

    def __init__(self, obj):
        self.obj = obj
        self._fd = None
        self._sizes = None

    def __reduce__(self):
        from multiprocessing.reduction import DupFd

        payload, buffers = dumps(self.obj)
        sizes = [len(b) for b in buffers]
        if self._fd is None or self._sizes != sizes:
            self.close()
            self._fd, self._sizes = share(buffers), sizes
        if self._fd is None:
            return _unpack, (payload, [bytes(b) for b in buffers], None)
        return _unpack, (payload, sizes, DupFd(self._fd))

    def close(self):
        """Lets go of the memory; processes that have it keep it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _unpack(payload, buffers, handle):
    if handle is not None:
        fd = handle.detach()
        try:
            buffers = map_shared(fd, buffers, private=True)
        finally:
            os.close(fd)
    else:
        buffers = [bytearray(b) for b in buffers]
    return pickle.loads(payload, buffers=buffers)
