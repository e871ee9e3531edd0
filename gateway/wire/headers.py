"""Which headers pass: from the caller to the upstream, and from the upstream to the caller.

Two lists that never share an object. What is stripped is stripped first, what is ours is added last, so that no
caller can name one of our headers in `Connection` and have it removed (CVE-2024-45410). Deliberately adds no default
Accept, Accept-Encoding or User-Agent, and leaves framing to whoever owns the connection.
"""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

DEFAULT_VIA: Final = b"credit-gateway"

# RFC 9110, 7.6.1, and what older peers use for the same.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)

# What a caller must not be able to tell an upstream: who it is, where it comes from, which path it asked for.
_SPOOFED: Final = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-account-id",
        b"x-project-id",
        b"x-organization-id",
        b"x-request-id",
        b"x-credits-limit",
        b"x-credits-remaining",
        b"x-credits-held",
        b"x-credits-charged",
        b"forwarded",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-host",
        b"x-original-host",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"proxy",  # httpoxy
        # All accounts share the upstream's credential: two of them with the same key would share a reply there.
        b"idempotency-key",
    }
)
_STRIPPED: Final = HOP_BY_HOP | _SPOOFED | {b"host", b"expect"}
# Known to be the caller's own business: most lines of most requests take this short way.
_COMMON: Final = frozenset(
    {
        b"accept",
        b"accept-language",
        b"cache-control",
        b"content-type",
        b"cookie",
        b"user-agent",
        b"x-stainless-arch",
        b"x-stainless-async",
        b"x-stainless-lang",
        b"x-stainless-os",
        b"x-stainless-package-version",
        b"x-stainless-read-timeout",
        b"x-stainless-retry-count",
        b"x-stainless-runtime",
        b"x-stainless-runtime-version",
        b"x-stainless-timeout",
    }
)
_PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close"})
# Handled one by one, since they are rebuilt rather than dropped or passed.
_REBUILT: Final = frozenset({b"content-length", b"via", b"x-forwarded-for", b"traceparent", b"tracestate"})
_MAX_LENGTH_DIGITS: Final = 18
_UNDERSCORE: Final = ord("_")
# W3C Trace Context, 3.2: version ff and all-zero ids are invalid, and only later versions than 00 may be longer.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff|00-.{53})[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?"
)

_OURS_IN_REPLIES: Final = frozenset(
    {
        b"x-request-id",
        b"x-credits-remaining",
        b"x-credits-charged",
        b"x-credits-held",
        b"x-credits-limit",
        b"alt-svc",  # would lead callers around the gateway
    }
)
_STRIPPED_FROM_REPLIES: Final = HOP_BY_HOP | _OURS_IN_REPLIES


@dataclass(frozen=True, slots=True)
class LoopDetected:
    """The request carries our own Via entry: it came back to us."""


def upstream_request_headers(
    inbound: Headers,
    *,
    credential: tuple[bytes, bytes] | None,
    identity: Headers,
    trace: bytes,
    peer: bytes | None = None,
    scheme: bytes = b"http",
    trusted_peer: bool = False,
    http_version: bytes = b"1.1",
    via: bytes = DEFAULT_VIA,
    accept_encoding_identity: bool = False,
) -> Headers | LoopDetected:
    """The headers for the upstream; `inbound` is not changed. The upstream's Host is added by its connection.

    `credential` is the upstream's own, `identity` our X-Account-Id and its like. `trace` is 32 hex digits unique to
    this call: the trace where the caller brings none; its second half is our span. `peer` is the caller's address;
    `trusted_peer` means that it is a proxy of ours whose X-Forwarded-For is continued rather than replaced.
    `accept_encoding_identity` asks for an answer that a meter can read.
    """
    kept, rebuilt = _sorted_out(inbound)
    forwarded: list[bytes] = []
    traces: Headers = []
    for field in rebuilt:
        if field[0] == b"content-length":
            _add_length(kept, field[1])
        elif field[0] == b"x-forwarded-for":
            forwarded.append(field[1].strip())
        elif field[0] != b"via":
            traces.append(field)
        elif _passed_here(field[1], via):
            return LoopDetected()
        else:
            kept.append(field)
    if peer:
        kept.append((b"x-forwarded-for", b", ".join([*forwarded, peer]) if trusted_peer else peer))
        kept.append((b"x-forwarded-proto", scheme))
    kept += ((b"via", b"%b %b" % (http_version, via)), *_trace_fields(traces, trace))
    if accept_encoding_identity:
        kept = [field for field in kept if field[0] != b"accept-encoding"]
        kept.append((b"accept-encoding", b"identity"))
    kept += identity
    if credential is not None:
        if credential[0] not in _SPOOFED:
            kept = [field for field in kept if field[0] != credential[0]]
        kept.append(credential)
    return kept


def forwarded_scheme(inbound: Headers, scheme: bytes) -> bytes:
    """The scheme that a trusted peer says its caller used; `scheme` where it says none that we know."""
    said = [value.strip().lower() for name, value in inbound if name.lower() == b"x-forwarded-proto"]
    return said[0] if len(said) == 1 and said[0] in {b"http", b"https"} else scheme


def _sorted_out(inbound: Headers) -> tuple[Headers, Headers]:
    """The lines that pass, without those that Connection lists, and the lines that are rebuilt."""
    kept: Headers = []
    options: list[bytes] = []
    rebuilt: Headers = []
    for field in inbound:
        if field[0] in _COMMON:
            kept.append(field)
            continue
        name = field[0].lower()
        if name in _STRIPPED:
            if name == b"connection" and field[1] not in _PLAIN_CONNECTION:
                options.append(field[1])
        elif name in _REBUILT:
            rebuilt.append((name, field[1]))
        elif not (name.startswith(b"x-forwarded-") or (_UNDERSCORE in name and _alias_is_stripped(name))):
            kept.append((name, field[1]))
    if options and (listed := _connection_options(options)):
        kept = [field for field in kept if field[0] not in listed]
    return kept, rebuilt


def _trace_fields(received: Headers, trace: bytes) -> Headers:
    """The caller's trace goes on with our span as the parent, or ours begins; the caller's own line is dropped."""
    parents = [value for name, value in received if name == b"traceparent"]
    known = _TRACEPARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if known is None:
        return [(b"traceparent", b"00-%b-%b-01" % (trace, trace[16:]))]
    states = [field for field in received if field[0] == b"tracestate"]
    return [(b"traceparent", b"00-%b-%b-%b" % (known.group(1), trace[16:], known.group(2))), *states]


def _add_length(kept: Headers, value: bytes) -> None:
    """A Content-Length as the one number it is, once: `010` is 10 to some and 8 to others."""
    if value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS:
        field = (b"content-length", b"%d" % int(value))
        if field not in kept:
            kept.append(field)


def _alias_is_stripped(name: bytes) -> bool:
    """CGI-like servers read `X_Account_Id` as X-Account-Id (CVE-2025-64484)."""
    dashed = name.replace(b"_", b"-")
    return dashed in _STRIPPED or dashed in _REBUILT or dashed.startswith(b"x-forwarded-")


def _connection_options(values: list[bytes]) -> frozenset[bytes]:
    """The field names listed in Connection lines, lower-cased. Framing is not the caller's to remove."""
    names = {option.strip(b" \t").lower() for value in values for option in value.split(b",")}
    return frozenset(names - {b"", b"close", b"keep-alive", b"content-length"})


def _passed_here(value: bytes, via: bytes) -> bool:
    """Whether a Via line (RFC 9110, 7.6.3: protocol, by whom, comment) names us."""
    entries = (entry.split() for entry in value.split(b","))
    return any(len(entry) > 1 and entry[1].lower() == via.lower() for entry in entries)


def caller_response_headers(upstream: Headers, own: Headers, *, status: int = 200) -> Headers:
    """The headers for the caller: the upstream's in their order, Set-Cookie lines apart, then `own`.

    A Content-Length beside a Transfer-Encoding is dropped (RFC 9112, 6.3), as on a 204; trailers cannot be passed.
    """
    kept: Headers = []
    options: list[bytes] = []
    chunked = status == 204  # noqa: PLR2004  No Content: a length there makes clients wait (RFC 9110, 8.6)
    for field in upstream:
        name = field[0].lower()
        if name in _STRIPPED_FROM_REPLIES:
            if name == b"connection":
                if field[1] not in _PLAIN_CONNECTION:
                    options.append(field[1])
            elif name == b"transfer-encoding":
                chunked = True
        elif not name.startswith((b"ratelimit", b"x-ratelimit")):
            kept.append((name, field[1]))
    if options and (listed := _connection_options(options)):
        kept = [field for field in kept if field[0] not in listed]
    if chunked:
        kept = [field for field in kept if field[0] != b"content-length"]
    kept += own
    return kept
