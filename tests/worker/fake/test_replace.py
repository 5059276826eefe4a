"""What stands in a place for a while leaves no trace there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.worker.fake.replace import replaced


class Owner:
    own = "own"

    @staticmethod
    def static() -> str:
        return "static"


class Heir(Owner):
    pass


def test_a_name_holds_the_substitute_and_then_what_it_held():
    """Within the block one value, after it the other."""
    owner = SimpleNamespace(name="before")

    with replaced(owner, "name", "meanwhile"):
        assert owner.name == "meanwhile"

    assert owner.name == "before"


def test_an_error_puts_things_back_too():
    """A block that fails leaves no substitute behind."""
    owner = SimpleNamespace(name="before")

    with pytest.raises(ZeroDivisionError), replaced(owner, "name", "meanwhile"):
        raise ZeroDivisionError

    assert owner.name == "before"


def test_an_inherited_name_is_inherited_again():
    """A class that had a name from its parent does not end up with one of its own."""
    with replaced(Heir, "own", "meanwhile"):
        assert Heir.own == "meanwhile"

    assert "own" not in vars(Heir)


def test_a_static_method_stays_one():
    """What is put back is what the class held, not what reading it gave."""
    with replaced(Owner, "static", staticmethod(lambda: "meanwhile")):
        assert Owner().static() == "meanwhile"

    assert Owner().static() == "static"


def test_a_name_that_is_not_there_is_refused():
    """A substitute for what nobody asks for would change nothing and say nothing."""
    with pytest.raises(AttributeError), replaced(SimpleNamespace(), "gone", None):
        pass


def test_a_name_that_may_be_lacking_is_lacking_again():
    """Where it was not there before it is not there after."""
    owner = SimpleNamespace()

    with replaced(owner, "new", 1, may_lack=True):
        assert owner.new == 1

    assert not hasattr(owner, "new")
