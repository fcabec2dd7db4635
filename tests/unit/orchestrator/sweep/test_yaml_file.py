"""YAML with line numbers: what is read is what PyYAML reads, and whatever is wrong is told with its line."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tausweep.orchestrator.sweep.yaml_file import parse_value, read_yaml
from tausweep.storage.errors import SweepFileError


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "sweep.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path)

    return read


def test_the_content_is_what_yaml_says(read):
    assert read("a: 1\nb: {c: [x, 2.5, null, true]}\n").content == {
        "a": 1,
        "b": {"c": ["x", 2.5, None, True]},
    }


def test_every_key_has_its_line(read):
    found = read("# a comment\na: 1\nb:\n  c: 2\n\n  d: {e: 3}\n")
    assert found.lines == {("a",): 2, ("b",): 3, ("b", "c"): 4, ("b", "d"): 6, ("b", "d", "e"): 6}


def test_the_place_of_a_key_is_file_and_line(read):
    found = read("a:\n  b: 1\n")
    assert found.place("a", "b") == f"{found.name}:2"


@pytest.mark.parametrize(
    ("path", "suffix"), [(("a", "missing"), ":1"), (("a", "b", "c"), ":2"), (("missing",), "")]
)
def test_the_place_of_a_key_that_is_not_there_is_that_of_its_nearest_parent(read, path, suffix):
    found = read("a:\n  b: 1\n")
    assert found.place(*path) == found.name + suffix


def test_an_empty_file_is_an_empty_mapping(read):
    assert read("# nothing yet\n").content == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read(b"\xef\xbb\xbfname: a\n").content == {"name": "a"}


def test_windows_line_ends_count_as_one_line(read):
    assert read(b"a: 1\r\nb: 2\r\n").lines["b",] == 2


def test_anchors_and_merges_are_understood(read):
    assert read("a: &x {n: 4}\nb: {<<: *x, W: 8}\n").content["b"] == {"n": 4, "W": 8}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2\n", [":2: a is given twice (first in line 1)"]),
        ("s:\n  n: 1\n  W: 4\n  n: 2\n", [":4: n is given twice (first in line 2)"]),
        ("a:\n\tb: 1\n", [":2: found character '\\t'"]),
        ("a: [1, 2\nb: 3\n", [":2: "]),
        ("a: 'x\n", [":2: ", "end of stream"]),
        ("a: *nowhere\n", [":1: ", "undefined alias"]),
        ("a: 1\n---\nb: 2\n", [":2: ", "another document"]),
        ("a: !!python/object:os.system x\n", [":1: ", "could not determine a constructor"]),
        ("a: 1\nb: 2026-13-45\n", [":2: '2026-13-45' is not timestamp", "month", "quote it"]),
        ("a: 1\nb: !!bool maybe\n", [":2: 'maybe' is not bool"]),
        ("a: !!int ''\n", [":1: '' is not int"]),
        ("a: !!timestamp noon\n", [":1: 'noon' is not timestamp"]),
        ("a:\n  b: " + "9" * 5000 + "\n", [":2: '9999", "is not int"]),
        ("a: 1\nb: \x01\n", [":2: '\\x01': special characters are not allowed"]),
        ("? [1]\n: 2\n", [":1: a key must be a word"]),
        ("a: {? {x: 1} : 2}\n", [":1: a key must be a word"]),
        ("- 1\n", ["a mapping (key: value) is needed, not list"]),
        ("just words\n", ["a mapping (key: value) is needed, not str"]),
        ("a: " + "[" * 1200 + "]" * 1200, ["nested too deeply"]),
        (b"\xff\xfe\x00", ["cannot be read as text"]),
        (b"\x89PNG\r\n\x1a\n", ["cannot be read as text"]),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(read, tmp_path, text, words):
    with pytest.raises(SweepFileError) as caught:
        read(text)
    assert str(caught.value).startswith(str(tmp_path / "sweep.yaml"))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_file_that_is_missing_is_told_as_such(tmp_path):
    with pytest.raises(SweepFileError, match=r"nowhere\.yaml: no such file"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_a_folder_is_told_as_such(tmp_path):
    with pytest.raises(SweepFileError, match="directory"):
        read_yaml(tmp_path)


@pytest.mark.timeout(20)
def test_aliases_that_multiply_are_read_in_no_time(read):
    doubled = "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}\n" for i in range(1, 60))
    assert len(read("a0: &a0 {x: 1}\n" + doubled).content) == 60


def test_a_mapping_that_contains_itself_does_not_hang(read):
    content = read("a: &a {b: *a}\n").content
    assert content["a"]["b"] is content["a"]


@given(text=st.text(alphabet="ab01:-[]{}&*!|>'\"#,? \n\t\x00\x85\ufeff", max_size=40))
def test_any_text_is_read_as_yaml_reads_it_or_refused(text, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode())
    try:
        found = read_yaml(path).content
    except SweepFileError:
        return
    assert found == (yaml.safe_load(text) or {})


@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text("abc", min_size=1)
    )
)
def test_a_value_on_the_command_line_is_what_yaml_says(value):
    assert parse_value(yaml.safe_dump(value)) == value


@pytest.mark.parametrize("text", ["[[", "{a", "'x", "!!bool x", "!!int ''", "2026-13-45", "\x01", "[" * 1200])
def test_a_value_that_is_not_yaml_is_a_value_error(text):
    with pytest.raises(ValueError, match="not a value"):
        parse_value(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4:00:00", "4:00:00"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("12", 12),
        ("1_000", 1000),
        ("0x10", 16),
        ("1.5", 1.5),
    ],
)
def test_a_time_is_no_number_to_the_base_of_sixty(read, text, value):
    assert read(f"time: {text}\n").content == {"time": value}
