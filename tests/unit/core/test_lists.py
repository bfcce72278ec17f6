"""Lists of videos as people have them: every video is found, and every line without one is named."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.lists import BadLine, read_list
from ghost_tracking.core.video_ids import NO_VIDEO, parse_brought_video
from ghost_tracking.errors import BadInputError

A, B, C = "dQw4w9WgXcQ", "x_BjvhMW9TE", "-tJYN-eG1zk"


def read(text: str, column: str | None = None) -> list[tuple[int, str]]:
    found = list(read_list(io.StringIO(text, newline=""), column))
    assert not [each for each in found if isinstance(each, BadLine)]
    return [each for each in found if not isinstance(each, BadLine)]


def bad(text: str, column: str | None = None) -> list[str]:
    return [str(each) for each in read_list(io.StringIO(text, newline=""), column) if isinstance(each, BadLine)]


@pytest.mark.parametrize("url", ["https://youtu.be/{}", "https://www.youtube.com/watch?v={}"])
@pytest.mark.parametrize("video_id", [A, "x", "x" * 20, "x" * 21, "a.b", f"{A}&t=1", f"{A}?t=1", f"{A}/", f"{A}#a"])
def test_the_usual_urls_are_read_as_all_are(url: str, video_id: str) -> None:
    text = url.format(video_id)
    try:
        expected = parse_brought_video(text)
    except ValueError:
        assert len(bad(text)) == 1
    else:
        assert read(text) == [(1, expected)]


def test_an_id_or_a_url_a_line() -> None:
    text = f"""\ufeff# my list
{A}

  https://www.youtube.com/watch?v={B}&t=3\r
# more
https://youtu.be/{C}?si=x
youtube.com/shorts/{A}
https://www.youtube.com/watch?list=a,b;c&v={B}
"{C}"
'"""
    assert [each for each in read_list(text.splitlines(keepends=True)) if not isinstance(each, BadLine)] == [
        (2, A),
        (4, B),
        (6, C),
        (7, A),
        (8, B),
        (9, C),
    ]
    assert bad(text)[0].startswith('line 10: "\'": neither a video id nor the URL of a video')
    assert read(A) == [(1, A)]
    for empty in ("", "\n", "\ufeff", "# only\n\n#this"):
        assert read(empty) == []


@pytest.mark.parametrize(
    "text",
    [
        f"video_id\n{A}\n{B}\n",
        f"\ufeffVideo ID\r\n{A}\r\n\r\n{B}\r\n",
        f"title,video_id,id\nOne,{A},17\n#,,\nTwo,{B},18",
        f"id,URL\n17,https://youtu.be/{A}\n18,https://www.youtube.com/watch?v={B}",
        f'title;link\n"a;b";youtu.be/{A}\n\n"say ""c""";{B}',
        f'title\tvideo\twhy\n5" wide\t{A}\tno\nx\t{B}',
        f'# exported\n"Title","Video URL"\n"One\ntwo\n#three","https://youtu.be/{A}"\nx, {B}',
        f"One, {A}\nTwo, {B}\n",
        f"{A},One\n{B}\n",
        f"12345678901;https://youtu.be/{A};x\n12345678902;{B};y",
        f'"Hello, world","{A}"\n"x","{B}"',
    ],
)
def test_csv(text: str) -> None:
    assert [video_id for _, video_id in read(text)] == [A, B]


def test_a_row_has_the_number_of_its_first_line() -> None:
    assert read(f'#\n\nnote,id\n"a\nb\nc",{A}\n\nx,{B}') == [(4, A), (8, B)]


def test_a_column_by_its_name() -> None:
    assert read(f"id;My Videos\n{A};{B}", "my videos") == [(2, B)]
    with pytest.raises(BadInputError, match="no column 'vid': its first line has 2 columns"):
        bad(f"id;My Videos\n{A};{B}", "vid")
    with pytest.raises(BadInputError, match="no column"):
        bad(A, "id")


def test_bad_lines_are_named_and_stop_no_other() -> None:
    text = f"{A}\nno video here\nhttps://www.youtube.com/@channel\nhttp://[\n{'x' * 999}\n{B}\n"
    found = list(read_list(text.splitlines()))
    assert (found[0], found[5]) == ((1, A), (6, B))
    assert [each.number for each in found[1:5] if isinstance(each, BadLine)] == [2, 3, 4, 5]
    assert isinstance(found[4], BadLine)
    assert len(found[4].text) == 80
    table = f'title,id\nx\ny,\n"open,{A}\nz,{B}\n"closed",{C}\n"two\nlines",{A},1\n"five" wide,{A}\nlast,{A}\n"end,{A}'
    assert bad(table) == [
        "line 2: 'x': 1 field(s) as far as line 2, where the header has 2",
        f"line 3: '': {NO_VIDEO}",
        "line 4: '': no CSV as far as line 6 (',' expected after '\"')",
        f"line 7: 'two\\nlines,{A},1': 3 field(s) as far as line 8, where the header has 2",
        "line 9: '': no CSV as far as line 9 (',' expected after '\"')",
        "line 11: '': no CSV as far as line 11 (unexpected end of data)",
    ]


@pytest.mark.parametrize(
    "text", ["hello\nfoo", "video_id\nhello\nfoo", "https://youtu.be/foo\nyoutube.com/watch?v=foo"]
)
def test_a_word_is_no_video(text: str) -> None:
    assert [line.endswith(NO_VIDEO) for line in bad(text)] == [True, True]


def test_a_quote_that_is_never_closed_is_no_end_of_memory() -> None:
    def lines() -> Iterator[str]:
        yield "title,id\n"
        yield '"never closed\n'
        for _ in range(100_000):
            yield f"t,{A}\n"

    found = list(read_list(lines()))
    assert isinstance(found[0], BadLine)
    assert "no CSV as far as line 9364 (field larger" in found[0].reason
    assert found[-1] == (100_002, A)


def test_a_list_is_read_as_it_streams_in() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield A

    assert next(iter(read_list(endless()))) == (1, A)


ids = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=11, max_size=11)
cells = st.text(max_size=12)


@given(st.lists(st.tuples(cells, ids, cells)), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_every_row_of_any_csv_is_read(rows: list[tuple[str, str, str]], separator: str, end: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("before", "video_id", "after"), *rows])
    found = list(read_list(io.StringIO(file.getvalue(), newline="")))
    expected = [video_id for _, video_id, _ in rows]
    assert [each[1] for each in found if not isinstance(each, BadLine)] == expected


@given(st.lists(st.text(max_size=40)))
def test_every_line_is_found_named_or_nothing(lines: list[str]) -> None:
    numbers = [each.number if isinstance(each, BadLine) else each[0] for each in read_list(lines)]
    assert numbers == sorted(set(numbers))


# What programs write, and which column it is


def everything(text: str, column: str | None = None) -> tuple[list[str], list[int]]:
    """The ids that a list has, and the numbers of its bad lines."""
    found = list(read_list(io.StringIO(text, newline=""), column))
    bad_numbers = [each.number for each in found if isinstance(each, BadLine)]
    return [each[1] for each in found if not isinstance(each, BadLine)], bad_numbers


STUDIO = f"""{{header}}
Total,,,,123456,4567.8,321,100.5,98765432101,4.5
{A},"My first video, and a comma","Jan 5, 2026",213,1000,12.5,3,1.2,54321012345,5.1
{B},"Two
lines",,252,2000,22.5,4,2.2,12345678901,6.1
"""


@pytest.mark.parametrize(
    "header",
    [
        "Content,Video title,Video publish time,Duration,Views,Watch time (hours),Subscribers,Estimated revenue (USD),"
        "Impressions,Impressions click-through rate (%)",
        "Inhalt,Videotitel,Veröffentlichungszeitpunkt,Dauer,Aufrufe,Wiedergabezeit,Abonnenten,Umsatz,Impressionen,Rate",
        "Contenido,Título,Hora de publicación,Duración,Visualizaciones,Tiempo,Suscriptores,Ingresos,Impresiones,Tasa",
        "コンテンツ,動画タイトル,公開時刻,長さ,視聴回数,総再生時間,チャンネル登録者,収益,インプレッション数,率",
        "Identifiant,Description,Publication,Durée,Vues,Heures,Subscribers,Revenu,Impressions,Taux",
    ],
)
def test_an_export_of_youtube_studio(header: str) -> None:
    assert everything(STUDIO.format(header=header)) == ([A, B], [])


@pytest.mark.parametrize("header", ["Video Id,Time Added", "ID de vídeo,Hora"])
def test_two_tables_in_one_file_of_takeout(header: str) -> None:
    playlist = (
        "Playlist Id,Channel Id,Time Created,Time Updated,Title,Description,Visibility\n"
        "PLxyz,UCabc,2020-01-01 00:00:00 UTC,2020-01-01 00:00:00 UTC,Favorites,,Private\n"
    )
    rows = f"{A},2020-01-01 00:00:00 UTC\n{B},2020-01-01 00:00:00 UTC\n"
    found, refused = everything(f"{playlist}\n{header}\n{rows}")
    assert found == [A, B]
    assert refused[:2] == [1, 2]
    assert everything(f"{header}\n{rows}") == ([A, B], [])


def test_a_table_may_follow_another_one() -> None:
    text = f"title,video_id\nx,{A}\n\ny,{B}\n\nid de vídeo,when,who\n{C},2020,me\n"
    assert everything(text) == ([A, B, C], [])
    assert everything(f"{A}\n{B}\n\nTitle,Video ID\nx,{C}\n") == ([A, B, C], [])


def test_an_archive_of_yt_dlp() -> None:
    text = f"youtube {A}\nvimeo 123456\nyoutube {B}\nsoundcloud 12345678901\n"
    assert everything(text) == ([A, B], [2, 4])
    assert "a video of vimeo, not of YouTube" in bad(text)[0]


def test_yt_dlp_in_json() -> None:
    rows = [
        {"_type": "url", "ie_key": "Youtube", "id": A, "url": f"https://www.youtube.com/watch?v={A}", "title": B},
        {
            "id": B,
            "title": "x",
            "description": f"https://youtu.be/{C}",
            "thumbnails": [{"url": f"https://youtu.be/{C}"}],
        },
        {"ie_key": "Vimeo", "id": "12345678901", "url": "https://vimeo.com/12345678901"},
    ]
    text = "\n".join(map(json.dumps, rows))
    assert everything(text) == ([A, B], [3])
    whole = {
        "_type": "playlist",
        "id": "PLx",
        "webpage_url": "https://www.youtube.com/playlist?list=PLx",
        "entries": rows,
    }
    assert everything(json.dumps(whole)) == ([A, B], [1])


def test_a_history_of_takeout() -> None:
    history = [
        {
            "header": "YouTube",
            "title": "Watched x",
            "titleUrl": f"https://www.youtube.com/watch?v={video_id}",
            "subtitles": [{"name": "MIT", "url": "https://www.youtube.com/channel/UCEBb1b_L6zDS3xTUrIALZOw"}],
        }
        for video_id in (A, B)
    ]
    pretty = json.dumps(history, indent=2).replace("=", r"\u003d")
    assert everything(pretty) == ([A, B], [])
    assert everything(json.dumps(history)) == ([A, B], [])
    html = f'<html><body><a href="https://www.youtube.com/watch?v={A}&amp;t=1">x</a> on <a href="about">'
    assert everything(html + f"<a href='https://youtu.be/{B}'>y</a></body></html>")[0] == [A, B]
    assert everything(f'{{"id": "{A}"}}\n{{"id": "{B}", "tit\n') == ([A], [2])
    assert everything("<html>\n<body>\nnothing\n") == ([], [1])
    assert everything(json.dumps([A, B])) == ([A, B], [])
    assert everything(json.dumps([A, B], indent=1)) == ([A, B], [])


@pytest.mark.parametrize(
    "text",
    [
        f"Mathematics,{A}\nPhysics101A,{B}\nBiology,{C}\n",
        f"vid,title,description\n{A},x,y\n{B},x,z\n{C},impressions,description\n",
        f"Description;Identifiant\nImpressions;{A}\nSubscribers;{B}\nMathematics;{C}\n",
        f"12345678901\t{A}\n12345678902\t{B}\n12345678903\t{C}\n",
        f"title|link\nx|https://youtu.be/{A}\ny|{B}\nz|<https://youtu.be/{C}>\n",
        f"related,video_id\n{C},{A}\n{A},{B}\n{B},{C}\n",
        f"{C},https://youtu.be/{A}\n{A},https://youtu.be/{B}\n{B},https://youtu.be/{C}\n",
        f"{A},https://youtu.be/{A}\n{B},https://youtu.be/{B}\n{C},https://youtu.be/{C}\n",
        f"{A}\nhttps://youtu.be/{B}, great\nsee https://youtu.be/{C} and like it\n",
        f"{{,{A}\n[x],{B}\n<y>,{C}\n",
        f"<div,{A}\n[1],{B}\n[,{C}\n",
        f"sep=;\nInhalt;Titel\n{A};x\n{B};y\n{C};z\n",
        f"sponsored,x\n{A},y\n{B},z\n{C},Description",
    ],
)
def test_what_is_in_a_column_decides(text: str) -> None:
    assert everything(text) == ([A, B, C], [])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"{A},{B}\n{B},{C}\n", "1 and 2"),
        (f"left;right\n{A};{B}\n{B};{C}\n", "'left' and 'right'"),
        (f"https://youtu.be/{A},https://youtu.be/{B}\n", "1 and 2"),
    ],
)
def test_what_could_be_either_column_is_refused_until_it_is_named(text: str, names: str) -> None:
    with pytest.raises(BadInputError, match=f"The columns {names} of the list could each .* by name or number"):
        everything(text)
    assert everything(text, "1")[0][0] == A
    assert everything(text, "2")[0][0] == B


def test_a_column_by_its_number() -> None:
    assert everything(f"left;right\n{A};{B}\n", "2") == ([B], [])
    assert everything(f"{A}\n{B}\n", "1") == ([A, B], [])
    assert everything(f"x,no\ny,{B}\n", "2") == ([B], [])
    with pytest.raises(BadInputError, match="no column '3': its first line has 2 columns"):
        everything("x,no\n", "3")
    late = f"Playlist Id,Title\nPLx,Mine\n\nWhen,My Video\n2020,{A}\n"
    assert everything(late, "my video") == ([A], [1, 2])


def test_a_title_that_begins_with_a_hash_is_no_comment() -> None:
    text = f"title,video_id\n#shorts,{A}\n# a note\n#note,\n#{B}\nx,{C}\n"
    assert everything(text) == ([A, C], [])


def test_what_stands_first_is_no_header_because_it_is_bad() -> None:
    assert everything(f"dQw4w9WgXc,x\n{A},y\n") == ([A], [1])
    assert everything(f"https://youtu.be/no,x\n{A},y\n") == ([A], [1])
    assert everything(f"{A}\ntitle,video_id\nx,{B}\n")[0] == [A, B]


def test_a_bad_line_is_kept_whole_up_to_a_bound() -> None:
    first, second = (each for each in read_list(["title,id\n", "One,no id\n", "x" * 999]) if isinstance(each, BadLine))
    assert (first.text, first.kept) == ("no id", "One,no id")
    assert (len(second.kept), second.kept[-2:]) == (500, "x…")


real_ids = st.builds(
    "{}{}{}{}".format,
    st.sampled_from("abXY"),
    st.sampled_from("0123456789_-"),
    st.text("abcABC019_-", min_size=8, max_size=8),
    st.sampled_from("048AEIMQUYcgkosw"),
)
written = st.sampled_from(
    ["{}", "https://youtu.be/{}", " {}\t", '"{}"', "<https://www.youtube.com/watch?v={}&t=1>", "youtube {}", "{},"]
)
others = st.one_of(
    st.sampled_from(["Mathematics", "impressions", "12345678901", "2020-01-01Z", "", "5", "a b", "https://x.org/?v=1"]),
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="#\u2028\u2029\u0085"), max_size=15),
)
ends = st.sampled_from(["\n", "\r\n"])


@given(st.lists(st.one_of(st.tuples(written, real_ids), st.sampled_from(["", "  ", "# note", "#"]))), ends)
def test_any_mixture_of_ids_urls_and_comments(lines: list[tuple[str, str] | str], end: str) -> None:
    text = "".join((line if isinstance(line, str) else line[0].format(line[1])) + end for line in lines)
    assert everything(text) == ([line[1] for line in lines if not isinstance(line, str)], [])


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.tuples(
            st.lists(st.tuples(real_ids, st.lists(others, min_size=width, max_size=width)), min_size=1, max_size=30),
            st.integers(0, width),
        )
    ),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["none", "ours", "theirs"]),
    ends,
)
def test_any_table_gives_the_ids_that_it_has(
    table: tuple[list[tuple[str, list[str]]], int], separator: str, quoting: int, header: str, end: str
) -> None:
    rows, place = table
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    names = [f"name {letter}" for letter in "abcdefg"[: len(rows[0][1])]]
    if header != "none":
        writer.writerow([*names[:place], "video_id" if header == "ours" else "Inhalt", *names[place:]])
    writer.writerows([*cells[:place], video_id, *cells[place:]] for video_id, cells in rows)
    assert everything(file.getvalue()) == ([video_id for video_id, _ in rows], [])


@given(
    st.lists(st.one_of(st.text(max_size=60), st.builds("{}{}{}".format, others, st.sampled_from(',;\t|"'), real_ids))),
    st.one_of(st.none(), st.text(max_size=3)),
)
def test_a_list_is_read_or_refused_in_words(lines: list[str], column: str | None) -> None:
    with suppress(BadInputError):
        for each in read_list(lines, column):
            number = each.number if isinstance(each, BadLine) else each[0]
            assert 1 <= number <= len(lines)
