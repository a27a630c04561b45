"""Refuses messages that hold the word which the org's admin has set as `word`."""

# Import every module here at the top: a call finds no files to import from.
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config
from wit_world.imports.types import (
    Decision,
    Failure_Declined,
    Rejection,
    Verdict_Pass,
    Verdict_Reject,
)

NO_WORD = "set `word` to what is refused"


def word():
    """What is refused, or None."""
    return (config.get("word") or "").lower() or None


# Each hook is a class with the functions of its interface in `wit/deps/duologue`.
class BeforeSend(exports.BeforeSend):
    def before_send(self, context, draft, previous):
        refused = word()
        if refused is None:
            raise Err(Failure_Declined(NO_WORD))
        verdict = Verdict_Pass()
        if refused in draft.body.content.lower():
            verdict = Verdict_Reject(
                Rejection(
                    code="word",
                    user_message="Please say it in other words.",
                    details=None,
                    retry_after_ms=None,
                )
            )
        return Decision(verdict=verdict, labels=[], explanation=None)


class Lifecycle(exports.Lifecycle):
    def check(self):
        """Asked before the configuration counts; the admin reads the error."""
        if word() is None:
            raise Err(NO_WORD)
