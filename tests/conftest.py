"""What holds for all tests: properties have no deadline, for a busy machine is no fault of theirs; and no user's cache helps them."""

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A cache of the tests' own, one for all of them, so that a model is measured once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARE_LAB_CACHE", str(folder))
        yield folder
