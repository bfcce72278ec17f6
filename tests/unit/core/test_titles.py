"""Titles as they are searched."""

import csv

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connections import recorded
from ghost_tracking.core.titles import Word, channel_term, searchable, terms_of, words_of


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Pokémon — l'été!", ["pokemon", "l", "ete"]),
        ("STRASSE straße Straße", ["strasse", "strasse", "strasse"]),
        ("İstanbul Ёлка ﬁne", ["istanbul", "елка", "fine"]),
        ("ストリートファイター６ ﾊﾟﾋﾟ", ["ストリートファイター", "6", "パピ"]),
        ("東京tower 第3回", ["東京", "tower", "第", "3", "回"]),
        ("हिन्दी गाने", ["हिन्दी", "गाने"]),
        ("ภาษาไทย 2024", ["ภาษาไทย", "2024"]),
        ("한국어 노래", ["한국어", "노래"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("🔥🔥Wow❤️", ["🔥🔥", "wow", "❤"]),
        ("a\u00adb __x__ \x00", ["ab", "x"]),
        ("!!! — …", []),
        ("", []),
        (None, []),
    ],
)
def test_the_words_of_a_title(title: str | None, words: list[str]) -> None:
    assert searchable(title).split() == words
    assert searchable(title) == (f" {' '.join(words)} " if words else " ")


def test_words_of_scripts_without_blanks_are_looked_for_anywhere() -> None:
    assert words_of("Tower 東京 tower ไทย 한국") == (
        Word("tower", anywhere=False),
        Word("東京", anywhere=True),
        Word("ไทย", anywhere=True),
        Word("한국", anywhere=False),
    )
    assert [word.needle for word in words_of("Tower 東京")] == [" tower", "東京"]


@given(st.text())
@example("ᾳͅ")
@example("\u0345\u0300")
def test_every_word_of_a_title_is_in_it_and_spelling_twice_changes_nothing(title: str) -> None:
    found = searchable(title)
    assert searchable(found) == found
    for word in words_of(title):
        assert word.needle in found
        assert word.whole in found


def test_recorded_titles_are_found_by_their_words() -> None:
    with recorded("recorded_videos.csv").open(encoding="utf-8", newline="") as file:
        titles = [row["title"] for row in csv.DictReader(file)]
    assert len(titles) > 4000
    for title in titles:
        words = words_of(f"«{title.casefold()}»")
        assert words, title
        assert all(word.whole in searchable(title) for word in words), title


syllables = [*"aébcー日本カガไ🔥😱한1 -", "ab", "ม่", "हि", "\u200b"]
of_syllables = st.lists(st.sampled_from(syllables), max_size=12).map("".join)


@given(of_syllables | st.text(), of_syllables)
@example("日本日", "日本")
@example("日", "日本")
def test_terms_tell_which_titles_have_a_word(title: str, query: str) -> None:
    found = searchable(title)
    placed = [terms_of(word) for word in found.split()]
    terms = {term for each in placed for term, _ in each}
    for word in (*words_of(query), *words_of(title)):
        if word.anywhere and len(word.text) > 1:
            begins = [
                {place - at for each in placed for term, place in each if term == pair} for pair, at in word.pairs
            ]
            told = bool(set.intersection(*begins))
        else:
            told = any(term.startswith(word.text) for term in terms)
        assert told >= (word.needle in found)
        assert not word.is_told_by_terms or told == (word.needle in found)
        assert (word.whole_term in terms) == (word.whole in found)


def test_a_channel_is_no_word() -> None:
    assert not channel_term("UC1").isprintable()
    assert channel_term("UC1") != channel_term("UC2")
    assert channel_term("東京") not in dict(terms_of("東京"))
