"""The account and the source that most tests of bills begin with; a test that needs others says so itself."""

from __future__ import annotations

import pytest

from accounts.models import Account
from insights.models import Source
from tests.billing.scene import make_profile, meters
from tests.factories import make_account, make_source


@pytest.fixture
def edge(portal_db: None) -> Source:
    meters("requests")
    return make_source()


@pytest.fixture
def account(edge: Source) -> Account:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    return account
