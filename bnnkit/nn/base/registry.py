"""A registry of classes, to choose noises, estimators and weight rules by name and options."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Generic, TypeVar

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class Registry(Generic[T]):
    """Classes of one kind, by their `name`.

    Args:
        kind: The kind for error messages, with its article: "an estimator".
        base: The base class of all members.
        register_with: The name of the function with which users add a class.
        elsewhere: Names of another kind that users may confuse with this one, each with the
            reason and the alternative.
    """

    def __init__(
        self,
        kind: str,
        base: type[T],
        *,
        register_with: str,
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        self._kind, self._base, self._register_with = kind, base, register_with
        self._elsewhere = dict(elsewhere or {})
        self._classes: dict[str, type[T]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._classes))

    def register(self, member: C) -> C:
        """Add a class; a class decorator.

        Raises:
            UsageError: If the class has another base, no name or missing methods, or the name
                belongs to another class.
        """
        self._check(member)
        name = getattr(member, "name", None)
        if not (isinstance(name, str) and name):
            raise UsageError(
                f"expected {self._kind} with a name, got {member.__qualname__}; set its `name`"
            )
        known = self._classes.get(name)
        # The same class defined again (a notebook cell run twice) replaces itself.
        if known and (known.__module__, known.__qualname__) != (
            member.__module__,
            member.__qualname__,
        ):
            raise UsageError(
                f"the name {name!r} belongs to {known.__qualname__}; choose another name"
            )
        self._classes[name] = member
        return member

    def _check(self, member: type[Any]) -> None:
        if not issubclass(member, self._base):
            raise UsageError(
                f"expected {self._kind}, a subclass of {self._base.__name__}, got"
                f" {member.__qualname__}; derive it from bnnkit.nn.{self._base.__name__}"
            )
        missing = sorted(getattr(member, "__abstractmethods__", ()))
        if missing:
            raise UsageError(
                f"expected {self._kind} with all its methods, got {member.__qualname__} without"
                f" {', '.join(missing)}; write them"
            )

    def get(self, choice: str | T, options: Mapping[str, Any] | None = None) -> T:
        """Create the member with a name and options; a member is returned unchanged.

        Raises:
            UsageError: If the name or an option is unknown, the options are not a mapping, or a
                member is given with options.
        """
        options = arguments.options(f"the options of {self._kind}", options)
        if isinstance(choice, self._base):
            if options:
                raise UsageError(
                    f"expected options with the name of {self._kind} only, got {choice!r} and "
                    f"{', '.join(options)}; set them in its constructor"
                )
            return choice
        if not isinstance(choice, str) or choice not in self._classes:
            raise UsageError(self._unknown(choice))
        return _create(self._classes[choice], choice, options)

    def _unknown(self, choice: object) -> str:
        if isinstance(choice, str) and choice in self._elsewhere:
            return f"{choice!r} is not {self._kind}: {self._elsewhere[choice]}"
        return (
            f"expected {self._kind} out of {', '.join(self.names)}, got {choice!r}; "
            f"add your own with {self._register_with}"
        )


def _create(member: Callable[..., T], name: str, options: Mapping[str, Any]) -> T:
    parameters = signature(member).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for option in options:
        if option not in known:
            raise UsageError(
                f"expected options of {name} out of {', '.join(known) or 'none'}, got {option!r}"
            )
    return member(**options)
