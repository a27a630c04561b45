"""The flood guard in Python: the same configuration and decisions as ../../flood-guard."""

# The tool takes in what is imported here; a call finds no files to import from.
import hashlib

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config, history, kv, log
from wit_world.imports.types import (
    Decision,
    Failure_Declined,
    Hold,
    Kind,
    Label,
    OnExpiry,
    Rejection,
    Severity,
    Verdict_Hold,
    Verdict_Pass,
    Verdict_Reject,
)

from settings import Settings

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class Lifecycle(exports.Lifecycle):
    def check(self):
        try:
            Settings(config.get)
        except ValueError as error:
            raise Err(str(error)) from error


class BeforeSend(exports.BeforeSend):
    def before_send(self, context, draft, previous):
        try:
            settings = Settings(config.get)
        except ValueError as error:
            raise Err(Failure_Declined(str(error))) from error
        if is_exempt(settings, context.caller):
            return Decision(Verdict_Pass(), [], None)
        counters = Counters(context)
        if previous is None:
            as_stranger = is_stranger(settings, context)
            for name, limits in [("all", settings.everybody), ("new", settings.strangers_limits)]:
                if name == "new" and not as_stranger:
                    continue
                wait = counters.too_fast(name, limits)
                if wait:
                    return too_fast(settings, wait, name == "new")
        if counters.is_copied(settings, draft):
            found = f"one text to more than {settings.copies} people"
            return flood(Verdict_Hold(Hold(found, None, OnExpiry.REFUSE)), found)
        return Decision(Verdict_Pass(), [], None)


def too_fast(settings, wait, as_stranger):
    found = "more than a stranger may send" if as_stranger else "more than one may send"
    return flood(Verdict_Reject(Rejection("flood", settings.message, None, wait)), found)


def flood(verdict, found):
    log.write(log.Level.INFO, found)
    return Decision(verdict, [Label("flood", None, Severity.MEDIUM)], found)


class Counters:
    """What one sender has sent in the minutes and hours of the clock."""

    def __init__(self, context):
        self.now_ms = context.now_ms
        # Else a message that the server asks about again would count twice.
        self.delta = 1 if context.attempt == 1 else 0
        self.sender = digest(context.caller.email.lower())

    def too_fast(self, name, limits):
        """How long a limit stays exceeded, in milliseconds; 0: none is."""
        wait = 0
        for unit, length_ms, limit in [
            ("m", MINUTE_MS, limits.per_minute),
            ("h", HOUR_MS, limits.per_hour),
        ]:
            if limit and self.count(f"{name}:{unit}:{self.sender}", self.delta, length_ms) > limit:
                wait = max(wait, length_ms - self.now_ms % length_ms)
        return wait

    def is_copied(self, settings, draft):
        said = "".join(c for c in draft.body.content.lower() if c.isalnum())
        files = [file.url for file in draft.body.attachments]
        if not settings.copies or (len(said) < settings.copies_letters and not files):
            return False
        length_ms = settings.copies_minutes * MINUTE_MS
        key = f"copy:{self.sender}:{digest(said, *files)}"
        recipient = digest(draft.to.lower())
        is_new = self.count(f"{key}:{recipient}", self.delta, length_ms) == 1 and self.delta == 1
        return self.count(key, int(is_new), length_ms) > settings.copies

    def count(self, key, delta, length_ms):
        try:
            return kv.increment(f"{key}:{self.now_ms // length_ms}", delta, length_ms // 1000)
        except Err as error:
            # By name alone: a failure is logged.
            reason = f"its counters cannot be had: {type(error.value).__name__}"
            raise Err(Failure_Declined(reason)) from error


def is_exempt(settings, caller):
    theirs = set(caller.roles)
    if caller.kind == Kind.STAFF:
        theirs.add("staff")
    if caller.admin:
        theirs.add("admins")
    return not theirs.isdisjoint(settings.exempt)


def is_stranger(settings, context):
    seen_ms = context.caller.first_seen_ms
    if "new" in settings.strangers:
        if seen_ms is None or context.now_ms - seen_ms < settings.stranger_days * DAY_MS:
            return True
    return "unanswered" in settings.strangers and all(
        earlier.from_caller for earlier in history.previous()
    )


def digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
