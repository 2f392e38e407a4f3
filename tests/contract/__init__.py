"""Suites that every store and every stage must pass."""

import pytest

pytest.register_assert_rewrite("tests.contract.store_suite", "tests.contract.file_suite", "tests.contract.stage_suite")
