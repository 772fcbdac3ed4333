"""The provider of C++ rules, which Bazel 4 to 7 have built in."""

load(":native_cc_info.bzl", "NATIVE_CC_INFO")

CcInfo = NATIVE_CC_INFO
