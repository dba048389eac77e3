"""The environment, read once into a struct that does not change.

Rule 1: a name that begins with CSN_ and is no setting is refused, with the nearest name that is one.
Rule 2: a value that cannot be right is refused by name, and all of them at once.
Rule 3: what is secret is in no repr, message or table.
Rule 4: the fields of `Settings` are the whole list: name, unit, default and meaning are read from them.
An empty variable counts as one that is not set.
"""

import difflib
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from csn_rt.bus.redis_url import check_url

_PREFIX: Final = "CSN_"
_SECRET_BYTES: Final = 32


class SettingsRefused(Exception):
    """The environment is not one to run in; each line of the message is a sentence for the operator."""


def _about(
    text: str, *, name: str | None = None, unit: str = "", secret: bool = False, **bounds: Any
) -> Meta:
    return Meta(description=text, extra={"name": name, "unit": unit, "secret": secret}, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Annotated[
        str,
        _about("PostgreSQL, e.g. postgresql://user:password@host/database", name="DATABASE_URL", secret=True),
    ] = ""
    redis_url: Annotated[
        str,
        _about(
            "Redis or Valkey, redis:// or rediss://; a cluster of them, redis-cluster:// or rediss-cluster://",
            name="REDIS_URL",
            secret=True,
        ),
    ] = ""
    port: Annotated[int, _about("port that serve listens on", name="PORT", ge=1, le=65535)] = 8000
    auth: Annotated[
        Literal["clerk", "dev"], _about("whose tokens are taken; clerk is not in this version yet")
    ] = "clerk"
    dev_allow_remote: Annotated[bool, _about("1: take dev tokens on a host that others can reach, too")] = (
        False
    )
    secret: Annotated[
        str,
        _about("signs anonymous ids and dev tokens; the same on all nodes, at least 32 bytes", secret=True),
    ] = ""
    allowed_origins: Annotated[
        tuple[str, ...],
        _about("web origins that may connect, separated by commas, besides the server's own; *: all"),
    ] = ()
    drain_s: Annotated[
        float, _about("time over which a stopping node sends its clients away", unit="s", ge=0, le=600)
    ] = 20.0
    compression: Annotated[bool, _about("0: frames are not compressed, even for clients that can")] = True
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _about("least level logged")] = "info"
    log_format: Annotated[Literal["json", "console"], _about("form of the log lines")] = "json"
    clerk_issuer: Annotated[str, _about("issuer of Clerk's tokens; not used yet")] = ""
    clerk_jwks_url: Annotated[str, _about("Clerk's keys, by default below the issuer; not used yet")] = ""
    clerk_jwt_key: Annotated[str, _about("Clerk's public key as PEM; not used yet")] = ""
    clerk_authorized_parties: Annotated[
        tuple[str, ...], _about("origins that tokens may be for, separated by commas; not used yet")
    ] = ()
    clerk_webhook_secret: Annotated[str, _about("verifies Clerk's webhooks; not used yet", secret=True)] = ""
    posthog_api_key: Annotated[
        str, _about("key of the PostHog project; not used yet", name="POSTHOG_API_KEY", secret=True)
    ] = ""
    posthog_host: Annotated[str, _about("where PostHog is; not used yet", name="POSTHOG_HOST")] = (
        "https://us.i.posthog.com"
    )
    uploadthing_token: Annotated[
        str, _about("token of the UploadThing app; not used yet", name="UPLOADTHING_TOKEN", secret=True)
    ] = ""

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{row.field}={row.shown(self)}' for row in SETTINGS)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(row.field, row.shown(self)) for row in SETTINGS]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the list."""

    name: str
    """In the environment."""
    field: str
    type: Any
    default: Any
    unit: str
    meaning: str
    is_secret: bool

    def shown(self, settings: Settings) -> str:
        """The value as it may be shown to anyone."""
        value = getattr(settings, self.field)
        if self.is_secret:
            return "(set)" if value else "(not set)"
        return show_value(value)


def show_value(value: Any) -> str:
    match value:
        case "" | ():
            return "(not set)"
        case tuple():
            return ",".join(value)
        case bool():
            return str(int(value))
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _rows() -> Iterator[Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        about = next(each for each in get_args(hints[field.name]) if isinstance(each, Meta))
        extra = about.extra or {}
        yield Setting(
            name=extra["name"] or _PREFIX + field.name.upper(),
            field=field.name,
            type=field.type,
            default=field.default,
            unit=extra["unit"],
            meaning=about.description or "",
            is_secret=extra["secret"],
        )


SETTINGS: Final = tuple(_rows())


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Everything that the environment says; raises SettingsRefused with one sentence per problem."""
    given = {name: value for name, value in environ.items() if value}
    problems = list(_unknown_names(given))
    values: dict[str, Any] = {}
    for row in SETTINGS:
        if row.name not in given:
            continue
        raw = given[row.name]
        is_list = isinstance(row.default, tuple)
        try:
            values[row.field] = msgspec.convert(_split(raw) if is_list else raw, row.type, strict=False)
        except msgspec.ValidationError:
            problems.append(f"{row.name}: {_wanted(row)}.")
    problems += _impossible_values(Settings(**values))
    if problems:
        raise SettingsRefused("\n".join(problems))
    return Settings(**values)


def check_database(settings: Settings) -> None:
    """Raise SettingsRefused unless it is known where PostgreSQL is."""
    if not settings.database_url:
        raise SettingsRefused("Set DATABASE_URL to the address of a PostgreSQL database.")


def check_servers(settings: Settings) -> None:
    """Raise SettingsRefused unless it is known where PostgreSQL and Redis are."""
    if not (settings.database_url and settings.redis_url):
        raise SettingsRefused(
            "Set DATABASE_URL and REDIS_URL, or run `csn-rt serve --embedded` to use servers of its own."
        )


def check_serving(settings: Settings, host: str, *, is_embedded: bool = False) -> None:
    """Raise SettingsRefused unless a node may serve there; `is_embedded` brings servers and a secret."""
    if not is_embedded:
        check_servers(settings)
    if settings.auth == "clerk":
        raise SettingsRefused(
            "This version cannot verify Clerk's tokens yet; set CSN_AUTH=dev and see `csn-rt token`."
        )
    if not is_embedded:
        check_dev_tokens(settings)
    if not (settings.dev_allow_remote or is_loopback(host)):
        raise SettingsRefused(
            f"CSN_AUTH=dev is for this machine only, and {host} can be reached from others; "
            "listen on 127.0.0.1, or set CSN_DEV_ALLOW_REMOTE=1 if that is what you want."
        )


def check_dev_tokens(settings: Settings) -> None:
    """Raise SettingsRefused unless dev tokens are taken and there is a secret to sign them with."""
    if settings.auth != "dev":
        raise SettingsRefused("Tokens can be made only where they are taken: set CSN_AUTH=dev.")
    if not settings.secret:
        raise SettingsRefused(
            f"Set CSN_SECRET to at least {_SECRET_BYTES} random bytes, the same on every node."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unknown_names(given: Mapping[str, str]) -> Iterator[str]:
    known = [row.name for row in SETTINGS]
    for name in sorted(given):
        if name.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "`csn-rt check` prints the list."
            yield f"{name} is no setting; {hint}"


def _wanted(row: Setting) -> str:
    """What a value must be, for those kinds of which one can be wrong by itself."""
    kind, about = get_args(row.type)
    between = f"from {about.ge} to {about.le}" if about.ge is not None else ""
    if kind is bool:
        return "is 0 or 1"
    if kind is int:
        return f"is a whole number {between}"
    if kind is float:
        return f"is a number of {row.unit} {between}"
    return f"is one of {', '.join(get_args(kind))}"


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _impossible_values(settings: Settings) -> Iterator[str]:
    if settings.database_url and not settings.database_url.startswith(("postgresql://", "postgres://")):
        yield "DATABASE_URL: begins with postgresql:// or postgres://."
    if settings.redis_url:
        try:
            check_url(settings.redis_url)
        except ValueError as exc:
            yield f"REDIS_URL: {exc}."
    if 0 < len(settings.secret.encode()) < _SECRET_BYTES:
        yield f"CSN_SECRET: is shorter than {_SECRET_BYTES} bytes."
    for origin in settings.allowed_origins:
        if origin != "*" and not _is_origin(origin):
            yield f"CSN_ALLOWED_ORIGINS: {origin} is no origin, such as https://www.example.com."


def _is_origin(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    return scheme in ("http", "https") and bool(separator and rest) and not set(rest) & set("/?#@ ")
