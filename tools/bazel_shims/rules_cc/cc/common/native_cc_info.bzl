"""CcInfo under another name: a file that defines CcInfo cannot also read the built-in one."""

NATIVE_CC_INFO = CcInfo
