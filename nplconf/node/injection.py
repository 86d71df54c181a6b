"""Inject a frame as if a device had received it. Nothing is sent, and no device is created or changed.

The mechanism is a test run of an XDP program with live frames (Linux 5.18): the program passes the frame to the network
stack. From there the frame takes the usual path: netdev ingress, prerouting, routing, forward, postrouting.
"""

import ctypes
import os
import platform
import socket
import struct

SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "s390x": 351, "ppc64le": 361}
"""The system call number of bpf(), by machine."""
PROG_LOAD, PROG_TEST_RUN = 5, 10
XDP, XDP_PASS, LIVE_FRAMES = 6, 2, 1 << 1
PROGRAM = struct.pack("=BBhiBBhi", 0xB7, 0, 0, XDP_PASS, 0x95, 0, 0, 0)
"""The program: r0 = XDP_PASS; exit."""
LOAD = struct.Struct("=IIQQIIQ")
RUN = struct.Struct("=IIIIQQIIIIQQIII4x")
CONTEXT = struct.Struct("=IIIIII")


def inject(frame: bytes, device: str) -> None:
    """Let a device of this network namespace receive a frame.

    Raises:
        OSError: The kernel does not support it.
    """
    index = socket.if_nametoindex(device)
    program, data = ctypes.create_string_buffer(PROGRAM), ctypes.create_string_buffer(frame, len(frame))
    licence = ctypes.create_string_buffer(b"GPL")
    context = ctypes.create_string_buffer(CONTEXT.pack(0, len(frame), 0, index, 0, 0), CONTEXT.size)
    loaded = _bpf(PROG_LOAD, LOAD.pack(XDP, 2, _at(program), _at(licence), 0, 0, 0))
    try:
        run = RUN.pack(
            loaded, 0, len(frame), 0, _at(data), 0, 1, 0, CONTEXT.size, 0, _at(context), 0, LIVE_FRAMES, 0, 0
        )
        _bpf(PROG_TEST_RUN, run)
    finally:
        os.close(loaded)


def _at(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    return ctypes.addressof(buffer)


def _bpf(command: int, attributes: bytes) -> int:
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(38, f"bpf() of {platform.machine()} is not known")
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(
        number, command, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes)
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
