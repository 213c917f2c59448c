"""Numbers of the RFB protocol, and what they are called.

RFC 6143, and the community's list (https://github.com/rfbproto/rfbproto) for what came later.
"""

from typing import Final

SECURITY: Final = {
    0: "invalid",
    1: "None",
    2: "VNC authentication",
    5: "RA2",
    16: "Tight",
    18: "TLS",
    19: "VeNCrypt",
    30: "Apple",
}

RAW: Final = 0
COPY_RECT: Final = 1
RRE: Final = 2
HEXTILE: Final = 5
ZLIB: Final = 6
TIGHT: Final = 7
ZRLE: Final = 16
H264: Final = 50
CURSOR: Final = -239
DESKTOP_SIZE: Final = -223
LAST_RECT: Final = -224
QEMU_POINTER: Final = -257
QEMU_KEY: Final = -258
QEMU_AUDIO: Final = -259
TIGHT_PNG: Final = -260
QEMU_LED: Final = -261
DESKTOP_NAME: Final = -307
EXTENDED_DESKTOP_SIZE: Final = -308
EXTENDED_BUTTONS: Final = -316
VMWARE_CURSOR: Final = 0x574D5664
VMWARE_LED: Final = 0x574D5668

_ENCODINGS: Final = {
    RAW: "Raw",
    COPY_RECT: "CopyRect",
    RRE: "RRE",
    4: "CoRRE",
    HEXTILE: "Hextile",
    ZLIB: "Zlib",
    TIGHT: "Tight",
    ZRLE: "ZRLE",
    21: "JPEG",
    H264: "H.264",
    CURSOR: "Cursor",
    DESKTOP_SIZE: "DesktopSize",
    LAST_RECT: "LastRect",
    -240: "X cursor",
    QEMU_POINTER: "QEMU pointer motion",
    QEMU_KEY: "QEMU extended key event",
    QEMU_AUDIO: "QEMU audio",
    TIGHT_PNG: "TightPNG",
    QEMU_LED: "QEMU LED state",
    DESKTOP_NAME: "DesktopName",
    EXTENDED_DESKTOP_SIZE: "ExtendedDesktopSize",
    -309: "xvp",
    -312: "Fence",
    -313: "ContinuousUpdates",
    -314: "Cursor with alpha",
    EXTENDED_BUTTONS: "ExtendedMouseButtons",
    VMWARE_CURSOR: "VMware cursor",
    VMWARE_LED: "VMware LED state",
    0xC0A1E5CE - 2**32: "ExtendedClipboard",
}
_QUALITY: Final = range(-32, -22)
_COMPRESSION: Final = range(-256, -246)


def security_name(number: int) -> str:
    """What a security type is called."""
    return SECURITY.get(number, f"security type {number}")


def encoding_name(number: int) -> str:
    """What an encoding, or a pseudo-encoding, is called."""
    if number in _QUALITY:
        return f"JPEG quality {number - _QUALITY.start}"
    if number in _COMPRESSION:
        return f"compression {number - _COMPRESSION.start}"
    return _ENCODINGS.get(number, f"encoding {number}")
