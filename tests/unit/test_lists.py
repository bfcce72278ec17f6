"""Lists of videos as people have them: every video is found, and every line without one is named."""

import csv
import io
from collections.abc import Iterator

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
    with pytest.raises(BadInputError, match="no column 'vid', only id, my_videos"):
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
    expected = [video_id for before, video_id, _ in rows if not before.strip().startswith("#")]
    assert [each[1] for each in found if not isinstance(each, BadLine)] == expected


@given(st.lists(st.text(max_size=40)))
def test_every_line_is_found_named_or_nothing(lines: list[str]) -> None:
    numbers = [each.number if isinstance(each, BadLine) else each[0] for each in read_list(lines)]
    assert numbers == sorted(set(numbers))
