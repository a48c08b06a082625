"""A file that others read is the old one or the new one, whatever happens while it is written."""

import errno
import os

import pytest

from hare_lab.errors import InputError
from hare_lab.whole_files import write_text, written


def test_a_file_that_is_being_written_is_the_old_one_until_it_is_whole(tmp_path):
    path = write_text(tmp_path / "said.txt", "old")
    with written(path) as file:
        file.write(b"ne")
        file.flush()
        assert path.read_text() == "old"
        file.write("w€".encode())
    assert path.read_text(encoding="utf-8") == "new€" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_fault_in_the_middle_leaves_the_old_file_and_nothing_beside_it(tmp_path, fault):
    path = write_text(tmp_path / "said.txt", "old")
    with pytest.raises(type(fault)), written(path) as file:
        file.write(b"half")
        raise fault
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "said.txt"
    with written(path) as first, written(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_text() == "first"


def test_a_text_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*can't be written \(No such file or directory\)"):
        write_text(tmp_path / "nowhere" / "said.txt", "text")
