import pytest

from v2s_jax.errors import V2SError
from v2s_jax.python_file import first_line, run_file


def test_what_the_function_returns(tmp_path):
    (tmp_path / "good.py").write_text("def get():\n    return [1, 2]\n")
    assert run_file(tmp_path / "good.py", "get", "list", "lists/") == [1, 2]


def test_a_file_is_called_what_it_is(tmp_path):
    with pytest.raises(V2SError, match="The list .*none.py does not exist: give one such as those in lists/."):
        run_file(tmp_path / "none.py", "get", "list", "lists/")
    (tmp_path / "bad.py").write_text("def get():\n    raise ValueError('one\\ntwo')\n")
    with pytest.raises(V2SError, match="The list .*bad.py failed: ValueError: one.$"):
        run_file(tmp_path / "bad.py", "get", "list", "lists/")
    with pytest.raises(V2SError, match="The list .*bad.py has no function put"):
        run_file(tmp_path / "bad.py", "put", "list", "lists/")


def test_an_error_that_says_nothing():
    assert first_line(KeyError()) == "KeyError"
