"""Numbers, lists and marked-up answers, as JSON and Parquet hold them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trainer.prepare.values import answer_text, text_of, tolerance_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (27.0, "27"),
        (3.5, "3.5"),
        (0.1 + 0.2, "0.3"),
        (1.1 * 3, "3.3"),
        (1 - 0.9, "0.1"),
        (-0.0, "0"),
        (0.6666666667, "0.6666666667"),
        (1234567.8901234567, "1234567.8901234567"),  # as many digits as 0.1 + 0.2, and none is noise
        (2 / 3, "0.6666666666666666"),
        (109200000.0, "109200000"),
        (1e16, "10000000000000000"),
        (1e-7, "0.0000001"),
        (4.5e33, "4.5e33"),
        (1.5e-30, "1.5e-30"),
        (Decimal("0.12345678901234567890123"), "0.12345678901234567890123"),
        (Decimal("2.50"), "2.5"),
        (Decimal("1e999999999"), "1e999999999"),
        (7, "7"),
        (10**30, "1" + "0" * 30),
        (float("nan"), None),
        (float("-inf"), None),
        (Decimal("NaN"), None),
        (" a ", "a"),
        ("", None),
        (None, None),
        ("\ud800", "?"),
    ],
)
def test_a_number_keeps_its_digits_and_gets_no_others(value: object, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("$5$", "5"),
        ("$$5$$", "5"),
        ("$$\nx\n$$", "x"),
        ("$(0,1)$.", "(0,1)"),
        (r"$\$ 3040$", r"\$ 3040"),
        ("$1$ and $2$", "$1$ and $2$"),
        (["$x=1$"], "x=1"),
        ([2.0, "3"], "2, 3"),
        (r"It is $\boxed{7}$.", "7"),
        ("nan", None),
        ("-Infinity", None),
        ("infinitely many", "infinitely many"),
        ([], None),
        ([None, " "], None),
        (None, None),
        (0, "0"),
        (2.5, "2.5"),
    ],
)
def test_answers_are_brought_to_one_form(value: object, text: str | None) -> None:
    assert answer_text(value) == text


def test_what_is_no_text_is_told() -> None:
    for value in (b"5", {"x": 1}, [["5"]]):
        with pytest.raises(TypeError, match="instead of a text"):
            answer_text(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("1e-1", "1e-1"),
        ("1e-1,1e-1", "1e-1"),
        ("1e-1, 1e-2", "1e-2"),
        (["1e-1"], "1e-1"),
        (0.1, "0.1"),
    ],
)
def test_the_narrowest_of_several_tolerances_counts(value: object, text: str) -> None:
    assert tolerance_text(value) == text


@pytest.mark.parametrize("value", ["small", "0", "-1", "1e-1 cm"])
def test_what_is_no_tolerance_is_told(value: str) -> None:
    with pytest.raises(TypeError, match="instead of a tolerance such as 1e-1"):
        tolerance_text(value)
