"""Rule 1.1: what a text may be."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csn_rt.features.chat.rules import TextInvalid, clean_text, display_name, safe_avatar

E_ACUTE = "\u00e9"
E_AND_ACUTE = "e\u0301"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"

# Text as people and attackers send it: everything, with more of what the rules are about.
texts = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "ab \t\n\u00a0\u0301\u0323\u0345\u200b\u200d\u202e\u2066\ufe0f\u3164\ud800" + E_ACUTE
        ),
    ),
    max_size=600,
)


def refuses(text: str) -> str:
    """Why it is refused."""
    with pytest.raises(TextInvalid) as refusal:
        clean_text(text)
    return str(refusal.value)


def test_text_is_stored_in_nfc():
    assert clean_text(f"caf{E_AND_ACUTE}") == f"caf{E_ACUTE}"


def test_text_is_trimmed():
    assert clean_text("\u00a0  goal! \r\n") == "goal!"


@pytest.mark.parametrize("text", ["x", "x" * 500, E_ACUTE * 500, E_AND_ACUTE * 500, "\U0001f945" * 500])
def test_text_of_1_to_500_code_points_is_said(text):
    assert clean_text(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text", ["x" * 501, E_ACUTE * 501, E_AND_ACUTE * 501, "\U0001f945" * 501, "\u1f82" * 2001]
)
def test_text_that_is_too_long_is_refused_and_never_cut(text):
    assert refuses(text) == "the message is longer than 500 characters"


def test_white_space_at_the_ends_does_not_count_as_length():
    assert clean_text(" " * 5000 + E_ACUTE * 500 + "\n" * 5000) == E_ACUTE * 500


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t", "\u200b", "\u200d\ufe0f", "\u3164", "\u2800 \u2800", "\u0301"]
)
def test_text_in_which_nothing_can_be_seen_is_empty(text):
    assert refuses(text) == "the message is empty"


@pytest.mark.parametrize("char", ["\0", "\n", "\t", "\r", "\x1b", "\x7f", "\x80", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("around", ["ab", E_ACUTE * 2])
def test_control_characters_are_refused(char, around):
    assert "control characters" in refuses(around[0] + char + around[1])


@pytest.mark.parametrize("char", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_characters_that_turn_the_text_around_are_refused(char):
    assert "control characters" in refuses(f"abc{char}def")


def test_lone_surrogates_are_refused():
    assert refuses("goal \ud83d") == "the message is not valid Unicode"


@pytest.mark.parametrize(
    "text", [FAMILY, ENGLAND, "1\ufe0f\u20e3", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "a\u200fb"]
)
def test_invisible_characters_that_emoji_and_languages_need_may_stay(text):
    assert clean_text(text) == text


def test_8_combining_marks_in_a_row_are_said():
    text = "x" + "\u0323" * 8 + "x" + "\u0323" * 8

    assert clean_text(text) == text


@pytest.mark.parametrize(
    "text", ["x" + "\u0323" * 9, E_ACUTE + "\u0488" * 9, "x" + "\u0323" * 5 + "\u200d" + "\u0323" * 4]
)
def test_more_than_8_combining_marks_in_a_row_are_refused(text):
    assert refuses(text) == "more than 8 combining marks in a row are not allowed"


def test_markup_is_text_like_any_other():
    assert clean_text("<b>goal</b> &amp; 'quotes'") == "<b>goal</b> &amp; 'quotes'"


def test_a_frame_full_of_marks_is_refused_at_once():
    marks = "\u0315\u0300\u0323" * 80_000
    began = time.perf_counter()

    refuses("x" + marks)

    assert time.perf_counter() - began < 0.5


@given(texts)
def test_what_is_said_keeps_every_rule(text):
    try:
        said = clean_text(text)
    except TextInvalid:
        return
    assert said == unicodedata.normalize("NFC", said).strip()
    assert 1 <= len(said) <= 500
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in said)
    said.encode()


@given(texts)
def test_to_clean_a_clean_text_changes_nothing(text):
    try:
        said = clean_text(text)
    except TextInvalid:
        return
    assert clean_text(said) == said


@given(texts.filter(lambda text: not any(0xD800 <= ord(char) < 0xE000 for char in text)))
def test_two_spellings_of_one_text_are_one_text(text):
    def outcome(spelling: str) -> str | None:
        try:
            return clean_text(unicodedata.normalize(spelling, text))
        except TextInvalid:
            return None

    assert outcome("NFD") == outcome("NFC")


def test_a_name_is_shown_as_the_token_has_it():
    assert display_name(" Ann Ono ", "u1") == "Ann Ono"


@pytest.mark.parametrize("name", [None, "", "  ", "a\0b", "\u202eevil", "x" + "\u0323" * 9])
def test_a_name_that_is_not_fit_to_be_shown_is_replaced_by_the_users_id(name):
    assert display_name(name, "u1") == "u1"


def test_a_long_name_is_shortened():
    assert display_name("n" * 70_000, "u1") == "n" * 64


def test_an_avatar_is_an_address_on_the_web():
    assert safe_avatar("https://img.example.test/a.png?x=1") == "https://img.example.test/a.png?x=1"


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://a b",
        "https://a/\n",
        "https://" + "a" * 2000,
    ],
)
def test_any_other_avatar_is_left_out(url):
    assert safe_avatar(url) is None
