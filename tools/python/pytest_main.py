"""Entry point of every py_test made by pytest_test: hands argv to pytest."""

import os
import sys

import pytest

if __name__ == "__main__":
    args = ["-p", "no:cacheprovider", "-ra"]
    if os.environ.get("TESTBRIDGE_TEST_ONLY"):  # bazel test --test_filter=...
        args += ["-k", os.environ["TESTBRIDGE_TEST_ONLY"]]
    if os.environ.get("XML_OUTPUT_FILE"):  # real per-case results for bazel
        args += ["--junitxml=" + os.environ["XML_OUTPUT_FILE"]]
    sys.exit(pytest.main(args + sys.argv[1:]))
