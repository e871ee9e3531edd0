"""Reads from a request what decides its price and its owner: the places that `routes.yaml` names.

Answers with the text found, None where nothing was sent, or Unreadable where two readers could differ (a key or field
sent twice, broken encodings, another type). Never falls back to a default: that is the rate card's decision.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.wire import json_pointer
from gateway.wire.headers import Headers
from gateway.wire.multipart import pairs
from gateway.wire.readers import READERS
from gateway.wire.route import Condition, CountPages, Metered, Source, Where
from gateway.wire.switch import switch
from gateway.wire.unreadable import Unreadable

PROJECT_ID: Final = "project_id"
ORGANIZATION_ID: Final = "organization_id"
OWNER_NAMES: Final = frozenset({PROJECT_ID, ORGANIZATION_ID})
# A byte is found in bytes far sooner than bytes are.
_NUL: Final = 0
_BACKSLASH: Final = ord("\\")
_EACH: Final = (json_pointer.EVERY,)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a route has to be shown of a body before it can be priced. Made once per route.

    `json`: the whole JSON body. `form`: names of form fields. `keys`: JSON names that must not come twice. `pages`: a
    file whose pages are to be counted.
    """

    json: bool
    form: frozenset[str]
    keys: frozenset[str] = OWNER_NAMES
    pages: CountPages | None = None
    quoted_keys: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quoted_keys", tuple(orjson.dumps(key) for key in sorted(self.keys)))

    @property
    def body(self) -> bool:
        """Whether anything of the body is needed."""
        return self.json or bool(self.form)


def wheres(metered: Metered) -> tuple[Where, ...]:
    """Every place a metered route reads."""
    units = metered.units
    places = [metered.mode, metered.saved, *(add_on.when.where for add_on in metered.add_ons)]
    places += [units.each, units.pages, units.at_most]
    for part in metered.extra_parts:
        places += [part.mode, part.saved, None if part.unless is None else part.unless.where]
    return tuple(place for place in places if place is not None)


def needs(places: Iterable[Where], pages: CountPages | None = None) -> Needs:
    """What these places need of a body, with the names of owners, which are looked at wherever a body is read."""
    places = tuple(one for place in places for one in _looked_at(place))
    keys = {part for place in places for part in place.pointer if part != json_pointer.EVERY}
    return Needs(
        json=any(place.source is Source.JSON for place in places),
        form=frozenset(place.name for place in places if place.source in {Source.FORM, Source.FORM_JSON}),
        keys=OWNER_NAMES | keys,
        pages=pages,
    )


def _looked_at(place: Where) -> Iterable[Where]:
    """The places themselves; a reader's are those of its fields, in the form or in a JSON object."""
    if place.source is not Source.READER:
        return (place,)
    fields = READERS[place.name].fields
    if place.pointer:
        return (Where(Source.JSON, pointer=(*place.pointer, name)) for name in fields)
    return (Where(Source.FORM, name) for name in fields)


def read_json(text: bytes, wanted: Needs, loc: tuple[str, ...] = ("body",)) -> object | Unreadable:
    """A JSON document; Unreadable where it is none or has one of the needed names twice in one object.

    Most documents have each such name at most once and no letter that is written as an escape, so no key can be
    doubled: only the others are read a second time by a parser that sees repeated keys.
    """
    try:
        document: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Unreadable(loc, "is not valid JSON")
    if b"\\u" in text or b"\\/" in text or any(text.count(key) > 1 for key in wanted.quoted_keys):
        try:
            json.loads(text, object_pairs_hook=_no_repeats(wanted.keys))
        except (ValueError, RecursionError) as error:
            return Unreadable(loc, str(error) if isinstance(error, _Repeated) else "is not readable JSON")
    return document


def may_name_owners(body: bytes) -> bool:
    """Whether a JSON body could name an owner, in any spelling and encoding that some reader of JSON may know.

    Without their names, escapes and the NUL bytes of UTF-16 and UTF-32 it cannot: most bodies need not be parsed.
    """
    return (
        body[:1] not in {b"{", b"["}
        or _BACKSLASH in body
        or _NUL in body
        or (body.find(b"_id") >= 0 and (PROJECT_ID.encode() in body or ORGANIZATION_ID.encode() in body))
    )


class _Repeated(ValueError):
    """A name that decides something comes twice in one object."""


def _no_repeats(names: Collection[str]) -> Any:
    def pairs_of_an_object(found: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in found:
            if key in names:
                if key in seen:
                    message = f"has {key!r} twice"
                    raise _Repeated(message)
                seen.add(key)

    return pairs_of_an_object


class RequestValues:
    """One request, as far as it has been read: head, and where needed the JSON body or the form fields.

    `pages_of_file` are those that were counted of its file; None: nobody knows.
    """

    __slots__ = ("_documents", "_fields", "_headers", "_needs", "_query", "pages_of_file")

    def __init__(
        self,
        wanted: Needs,
        *,
        headers: Headers,
        query: bytes,
        body: bytes | None = None,
        fields: Mapping[str, str] | None = None,
        pages_of_file: int | None = None,
    ) -> None:
        self.pages_of_file = pages_of_file
        self._needs = wanted
        self._headers = headers
        self._query = query
        self._fields: Mapping[str, str] = fields or {}
        self._documents: dict[str, object | Unreadable] = {}
        if body is not None:
            self._documents[""] = read_json(body, wanted)

    def text(self, where: Where) -> str | Unreadable | None:
        """The text at a place; None where none was sent (a JSON null included)."""
        match where.source:
            case Source.FIXED | Source.HIDDEN:
                return where.value
            case Source.JSON | Source.FORM_JSON:
                return self._from_json(where)
            case Source.FORM:
                return self._fields.get(where.name)
            case Source.HEADER:
                return self._from_headers(where.name)
            case Source.QUERY:
                return self._from_query(where.name)
            case Source.READER:
                modes = self.modes(where)
                return modes if isinstance(modes, Unreadable) else modes[0] if modes else None

    def modes(self, where: Where) -> tuple[str, ...] | Unreadable:
        """Every mode that a place names, none where none was sent. Only a reader finds more than one."""
        if where.source is not Source.READER:
            text = self.text(where)
            return text if isinstance(text, Unreadable) else () if text is None else (text,)
        texts: dict[str, str] = {}
        for place in _looked_at(where):
            text = self._plain(place)
            if isinstance(text, Unreadable):
                return text
            if text is not None:
                texts[place.name or place.pointer[-1]] = text
        read = READERS[where.name].read(texts)
        if isinstance(read, Unreadable):
            return Unreadable((*self.place(where), *read.loc), read.message, read.type)
        return read

    def holds(self, condition: Condition) -> bool | Unreadable:
        """Whether the text at a place begins as the condition says, or its switch is on; False where none was sent."""
        if condition.starts_with is None:
            text = self._plain(condition.where)
            on = switch(text or "") if not isinstance(text, Unreadable) else text
            return Unreadable(self.place(condition.where), "must be true or false", "type_error") if on is None else on
        text = self.text(condition.where)
        return text if isinstance(text, Unreadable) else text is not None and text.startswith(condition.starts_with)

    def found(self, where: Where) -> list[object] | Unreadable:
        """Whatever JSON values stand at a place, nulls included; of other places the text, where one was sent."""
        if where.source in {Source.JSON, Source.FORM_JSON}:
            return self._in_json(where)
        text = self.text(where)
        return text if isinstance(text, Unreadable) else [] if text is None else [text]

    @staticmethod
    def place(where: Where) -> tuple[str, ...]:
        """A place as a 422 names it."""
        match where.source:
            case Source.HEADER | Source.QUERY:
                return (where.source.value, where.name)
            case Source.READER:
                return ("body", *where.pointer)
            case _:
                return ("body", *((where.name,) if where.name else ()), *where.pointer)

    def _plain(self, where: Where) -> str | Unreadable | None:
        """A text, or a JSON number or truth value written as one; None where none was sent."""
        found = self.found(where)
        if isinstance(found, Unreadable):
            return found
        sent = [value for value in found if value is not None]
        if not sent:
            return None
        match sent:
            case [bool(on)]:
                return "true" if on else "false"
            case [str() | int() | float() as value]:
                return str(value)
            case _:
                return Unreadable(self.place(where), "has an unexpected type", "type_error")

    def owners(self) -> tuple[tuple[str, ...], tuple[str, ...]] | Unreadable:
        """Every `project_id` and every `organization_id` named in the query, the form or the top of the JSON body.

        Of a body that is a list, the top of each element counts.
        """
        found = query_owners(self._query)
        if isinstance(found, Unreadable) or not (self._documents or self._fields):
            return found
        document = self._documents.get("")
        if isinstance(document, Unreadable):
            return document  # an owner may stand in it twice, or in a dialect of JSON that the upstream reads
        projects, organizations = list(found[0]), list(found[1])
        for name, values in ((PROJECT_ID, projects), (ORGANIZATION_ID, organizations)):
            if name in self._fields:
                values.append(self._fields[name])
            for part in document if isinstance(document, list) else (document,):
                if isinstance(part, dict) and part.get(name) is not None:
                    if not isinstance(part[name], str):
                        return Unreadable(("body", name), "must be a text", "type_error.str")
                    values.append(part[name])
        return tuple(projects), tuple(organizations)

    def _in_json(self, where: Where) -> list[object] | Unreadable:
        """What a pointer finds in the body, or in the form field of its name. An empty field is as good as none."""
        name = where.name if where.source is Source.FORM_JSON else ""
        loc = ("body", name) if name else ("body",)
        if name and name not in self._documents:
            text = self._fields.get(name, "")
            if not text.strip():
                return []
            self._documents[name] = read_json(text.encode(), self._needs, loc)
        document = self._documents.get(name)
        if isinstance(document, Unreadable):
            return document
        if where.pointer[:1] == _EACH:
            if not isinstance(document, list):
                return Unreadable(loc, "must be a list", "type_error.list")
        elif not isinstance(document, dict):
            return Unreadable(loc, "must be a JSON object", "type_error.dict")
        found = json_pointer.find(document, where.pointer)
        if isinstance(found, json_pointer.Misfit):
            return Unreadable((*loc, *found.at), "has an unexpected type", "type_error")
        return found

    def _from_json(self, where: Where) -> str | Unreadable | None:
        found = self._in_json(where)
        if isinstance(found, Unreadable):
            return found
        sent = {value if isinstance(value, str) else False for value in found if value is not None}
        if not sent:
            return None
        value = sent.pop()
        if value is False or False in sent:
            return Unreadable(self.place(where), "must be a text", "type_error.str")
        if sent:
            return Unreadable(self.place(where), "must be the same everywhere")
        return str(value)

    def _from_headers(self, name: str) -> str | Unreadable | None:
        wanted = name.lower().encode()
        found = [value for key, value in self._headers if key.lower() == wanted]
        if len(found) > 1:
            return Unreadable(("header", name), "was sent more than once")
        return found[0].decode("latin-1").strip() if found else None

    def _from_query(self, name: str) -> str | Unreadable | None:
        found = pairs(self._query, (name,), place="query")
        if isinstance(found, Unreadable):
            return found
        values = found.get(name, [])
        if len(values) > 1:
            return Unreadable(("query", name), "was sent more than once")
        return values[0] if values else None


def query_owners(query: bytes) -> tuple[tuple[str, ...], tuple[str, ...]] | Unreadable:
    """Every `project_id` and `organization_id` of a raw query string."""
    if not query or (b"_id" not in query and b"%" not in query):
        return (), ()
    found = pairs(query, OWNER_NAMES, place="query")
    if isinstance(found, Unreadable):
        return found
    return tuple(found.get(PROJECT_ID, ())), tuple(found.get(ORGANIZATION_ID, ()))
