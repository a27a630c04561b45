"""What an org sets; see the table of ../../flood-guard. What cannot be meant is a ValueError."""

from typing import NamedTuple

DAY_MINUTES = 24 * 60


class Limits(NamedTuple):
    per_minute: int
    per_hour: int


class Settings:
    def __init__(self, get):
        def number(key, default):
            text = (get(key) or "").strip() or str(default)
            if not (text.isascii() and text.isdigit()):
                raise ValueError(f"`{key}` must be a whole number")
            return int(text)

        def words(key, default):
            entries = ((get(key) or "").strip() or default).split(",")
            return [word.strip() for word in entries if word.strip() not in ("", "none")]

        self.everybody = Limits(number("per-minute", 30), number("per-hour", 500))
        self.strangers_limits = Limits(
            number("strangers-per-minute", 6), number("strangers-per-hour", 60)
        )
        self.strangers = words("strangers", "new, unanswered")
        if not set(self.strangers) <= {"new", "unanswered"}:
            raise ValueError("`strangers` must be of new and unanswered, or none")
        self.stranger_days = number("stranger-days", 3)
        self.copies = number("copies", 5)
        self.copies_minutes = number("copies-minutes", 10)
        if not 1 <= self.copies_minutes <= DAY_MINUTES:
            raise ValueError(f"`copies-minutes` must be 1 to {DAY_MINUTES}")
        self.copies_letters = number("copies-letters", 20)
        self.exempt = words("exempt", "staff")
        self.message = get("message") or "You are sending too fast. Please wait a little."
