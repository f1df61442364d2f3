"""DynamoDB's expressions, as far as a table's requests need them: conditions, key conditions and updates.

Follows https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html. Whole attributes
are changed; conditions may be on entries of a list as well.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from simulate.values import FUNCTIONS, PREDICATES, Item, Value, add, compare, entry, equal, length

_TOKEN = re.compile(r"\s*([#:]?\w+|<>|<=|>=|[=<>(),+\[\]-])")
_COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">="})


class BadExpression(Exception):
    """What DynamoDB would answer with a `ValidationException`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression is about: an item, and what the request calls its names and values."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Value]


Condition = Callable[[Scope], bool]
Operand = Callable[[Scope], Value | None]
Change = Callable[[Scope, dict[str, Value]], None]


@lru_cache(maxsize=1_000)
def condition(text: str) -> Condition:
    """A condition, or a key condition. Raises `BadExpression`."""
    parser = _Parser(text)
    found = parser.either()
    parser.end()
    return found


@lru_cache(maxsize=1_000)
def update(text: str) -> Callable[[Scope], dict[str, Value]]:
    """An update, which makes another item of one. Raises `BadExpression`."""
    parser = _Parser(text)
    changes = parser.clauses()
    parser.end()

    def updated(scope: Scope) -> dict[str, Value]:
        item = dict(scope.item)
        for change in changes:
            change(scope, item)
        return item

    return updated


class _Parser:
    """Goes through an expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if not found:
                raise BadExpression(f"{text!r} at {at}")
            self._tokens.append(found[1])
            at = found.end()

    def end(self) -> None:
        """Raise `BadExpression` where there is more."""
        if self._tokens:
            raise BadExpression(f"{self._text!r} at {self._tokens[0]!r}")

    # Conditions, the loosest first: OR, AND, NOT, and what they join.

    def either(self) -> Condition:
        """Conditions of which one must hold."""
        parts = [self._both()]
        while self._takes("OR"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda scope: any(part(scope) for part in parts)

    def _both(self) -> Condition:
        parts = [self._not()]
        while self._takes("AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda scope: all(part(scope) for part in parts)

    def _not(self) -> Condition:
        if self._takes("NOT"):
            refused = self._not()
            return lambda scope: not refused(scope)
        if self._takes("("):
            inner = self.either()
            self._need(")")
            return inner
        return self._predicate()

    def _predicate(self) -> Condition:
        function = self._peek()
        if function in PREDICATES:
            self._next()
            operands = self._arguments()
            return lambda scope: PREDICATES[function](*[operand(scope) for operand in operands])
        left = self._operand()
        if self._takes("BETWEEN"):
            low = self._operand()
            self._need("AND")
            high = self._operand()
            return lambda scope: (
                compare(left(scope), ">=", low(scope)) and compare(left(scope), "<=", high(scope))
            )
        if self._takes("IN"):
            several = self._arguments()
            return lambda scope: any(equal(left(scope), one(scope)) for one in several)
        sign = self._next()
        if sign not in _COMPARISONS:
            raise BadExpression(f"{self._text!r} at {sign!r}")
        right = self._operand()
        return lambda scope: compare(left(scope), sign, right(scope))

    # What conditions and updates are about.

    def _arguments(self) -> list[Operand]:
        self._need("(")
        operands = [self._operand()]
        while self._takes(","):
            operands.append(self._operand())
        self._need(")")
        return operands

    def _operand(self) -> Operand:
        token = self._next()
        if token.lower() == "size" and self._peek() == "(":
            [of] = self._arguments()
            return lambda scope: length(of(scope))
        if token.startswith(":"):
            return lambda scope: _known(scope.values, token)
        if self._takes("["):
            number = int(self._next())
            self._need("]")
            return lambda scope: entry(scope.item.get(_name(token, scope)), number)
        return lambda scope: scope.item.get(_name(token, scope))

    # Updates.

    def clauses(self) -> list[Change]:
        """The changes of every clause."""
        changes: list[Change] = []
        kinds = {"SET": self._set, "REMOVE": self._remove, "ADD": self._add, "DELETE": self._delete}
        while self._tokens:
            clause = self._next().upper()
            if clause not in kinds:
                raise BadExpression(f"{self._text!r} at {clause!r}")
            changes.append(kinds[clause]())
            while self._takes(","):
                changes.append(kinds[clause]())
        return changes

    def _set(self) -> Change:
        token = self._next()
        self._need("=")
        value = self._sum()

        def change(scope: Scope, item: dict[str, Value]) -> None:
            found = value(scope)
            if found is None:
                raise BadExpression(f"{self._text!r}: an attribute that is not there is set")
            item[_name(token, scope)] = found

        return change

    def _sum(self) -> Operand:
        left = self._settable()
        if self._peek() not in ("+", "-"):
            return left
        sign = 1 if self._next() == "+" else -1
        right = self._settable()

        def value(scope: Scope) -> Value | None:
            one, other = left(scope), right(scope)
            return None if one is None or other is None else add(one, other, sign)

        return value

    def _settable(self) -> Operand:
        function = self._peek()
        if function not in FUNCTIONS:
            return self._operand()
        self._next()
        operands = self._arguments()
        return lambda scope: FUNCTIONS[function](*[operand(scope) for operand in operands])

    def _remove(self) -> Change:
        token = self._next()

        def change(scope: Scope, item: dict[str, Value]) -> None:
            item.pop(_name(token, scope), None)

        return change

    def _add(self) -> Change:
        token, value = self._next(), self._operand()

        def change(scope: Scope, item: dict[str, Value]) -> None:
            name, by = _name(token, scope), value(scope) or {}
            before = scope.item.get(name)
            [(kind, many)] = by.items()
            if kind == "N":
                item[name] = add(before or {"N": "0"}, by, 1)
            else:
                item[name] = {kind: sorted({*(before or by)[kind], *many})}

        return change

    def _delete(self) -> Change:
        token, value = self._next(), self._operand()

        def change(scope: Scope, item: dict[str, Value]) -> None:
            name = _name(token, scope)
            if name not in item:
                return
            [(kind, many)] = (value(scope) or {}).items()
            left = sorted({*item[name][kind]} - {*many})
            item[name] = {kind: left}
            if not left:  # a set is never empty
                del item[name]

        return change

    # Tokens.

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _next(self) -> str:
        if not self._tokens:
            raise BadExpression(f"{self._text!r} ends too soon")
        return self._tokens.pop(0)

    def _takes(self, token: str) -> bool:
        if self._peek().upper() != token:
            return False
        self._next()
        return True

    def _need(self, token: str) -> None:
        if not self._takes(token):
            raise BadExpression(f"{self._text!r}: {token!r} is missing before {self._peek()!r}")


def _known(values: Mapping[str, Value], token: str) -> Value:
    if token not in values:
        raise BadExpression(f"{token} has no value")
    return values[token]


def _name(token: str, scope: Scope) -> str:
    if not token.startswith("#"):
        return token
    if token not in scope.names:
        raise BadExpression(f"{token} has no name")
    return scope.names[token]
