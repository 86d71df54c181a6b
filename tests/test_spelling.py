"""Suggestions for misspelled words."""

import pytest

from nplconf.spelling import suggestion

WORDS = ("stateDir", "holdSocket", "--state-dir", "apply", "plan")


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("stateDirr", "stateDir"),
        ("state_dir", "stateDir"),
        ("STATEDIR", "stateDir"),
        ("--statedir", "stateDir"),
        ("aply", "apply"),
        ("paln", "plan"),
    ],
)
def test_a_misspelled_word_leads_to_the_closest_one(word: str, wanted: str) -> None:
    assert suggestion(word, WORDS) == f"; did you mean {wanted}?"


@pytest.mark.parametrize("word", ["", "x", "kubeconfig", "\x1b[2J"])
def test_a_word_that_is_close_to_none_gets_no_suggestion(word: str) -> None:
    assert suggestion(word, WORDS) == ""
