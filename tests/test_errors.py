"""Problems: everything that is wrong, once, in one error."""

import pytest

from embexp.errors import ConfigError, DataError, EmbexpError, Problems


def failing(error: EmbexpError):
    raise error


def test_one_mistake_is_raised_as_it_is():
    problems = Problems()
    assert problems.attempt(failing, DataError("no rows")) is None
    with pytest.raises(DataError, match=r"^no rows$"):
        problems.raise_if_any()


def test_several_are_listed_in_their_order_and_each_once():
    problems = Problems()
    problems.attempt(failing, DataError("no rows"))
    problems.add(["no way", "no rows"], ConfigError)
    with pytest.raises(EmbexpError) as error:
        problems.raise_if_any()
    assert str(error.value) == "2 things do not fit:\n\n1. no rows\n\n2. no way"
    assert type(error.value) is EmbexpError


def test_mistakes_of_one_kind_stay_of_that_kind():
    problems = Problems()
    problems.add(["a", "b"], ConfigError)
    with pytest.raises(ConfigError):
        problems.raise_if_any()


def test_nothing_wrong_raises_nothing_and_results_pass_through():
    problems = Problems()
    assert problems.attempt(max, 1, 2) == 2
    problems.raise_if_any()


def test_an_error_that_is_no_users_mistake_is_not_kept():
    with pytest.raises(ZeroDivisionError):
        Problems().attempt(lambda: 1 / 0)
