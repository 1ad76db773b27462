"""The fixtures themselves: every role works, and no row outlives its test."""

from __future__ import annotations

import pytest

from accounts.models import Account
from accounts.tenancy import account_scope, as_staff, as_worker
from tests.conftest import Cast


@pytest.mark.parametrize("attempt", [1, 2])
def test_rows_are_gone_between_tests(cast: Cast, attempt: int) -> None:
    with as_worker():
        assert Account.objects.count() == 2
    with as_staff():
        assert Account.objects.count() == 2
    with account_scope(cast.ours.pk):
        assert list(Account.objects.all()) == [cast.ours]
