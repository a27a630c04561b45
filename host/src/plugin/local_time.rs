//! What the clock on somebody's wall shows.

use jiff::{Timestamp, tz::TimeZone};
use time::OffsetDateTime;

use super::bindings::{on_notify::LocalTime, unix_ms};

/// The time in a zone such as `Europe/Berlin`; `None`: there is no such zone.
pub(super) fn local_time(zone: &str, now: OffsetDateTime) -> Option<LocalTime> {
    let now = Timestamp::from_millisecond(unix_ms(now).try_into().ok()?).ok()?;
    let there = now.to_zoned(TimeZone::get(zone).ok()?);
    let number = |number: i8| u8::try_from(number).ok();
    Some(LocalTime {
        year: there.year().try_into().ok()?,
        month: number(there.month())?,
        day: number(there.day())?,
        weekday: number(there.weekday().to_monday_one_offset())?,
        hour: number(there.hour())?,
        minute: number(there.minute())?,
        offset_minutes: (there.offset().seconds() / 60).try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn shown(zone: &str, now: OffsetDateTime) -> String {
        let there = local_time(zone, now).unwrap();
        let LocalTime { year, month, day, weekday, hour, minute, offset_minutes } = there;
        format!("{year}-{month}-{day} {weekday} {hour}:{minute} {offset_minutes}")
    }

    #[test]
    fn summer_time_begins_and_ends_at_its_moment() {
        let berlin = |now| shown("Europe/Berlin", now);

        assert_eq!(berlin(datetime!(2026-03-29 00:59:59 UTC)), "2026-3-29 7 1:59 60");
        assert_eq!(berlin(datetime!(2026-03-29 01:00 UTC)), "2026-3-29 7 3:0 120");
        assert_eq!(berlin(datetime!(2026-10-25 00:59:59 UTC)), "2026-10-25 7 2:59 120");
        assert_eq!(berlin(datetime!(2026-10-25 01:00 UTC)), "2026-10-25 7 2:0 60");
    }

    #[test]
    fn zones_may_lie_across_the_day_and_between_the_hours() {
        let now = datetime!(2026-12-31 23:30 UTC);

        assert_eq!(shown("Asia/Kathmandu", now), "2027-1-1 5 5:15 345");
        assert_eq!(shown("America/St_Johns", now), "2026-12-31 4 20:0 -210");
        assert_eq!(shown("Pacific/Kiritimati", now), "2027-1-1 5 13:30 840");
        assert_eq!(shown("UTC", now), "2026-12-31 4 23:30 0");
    }

    #[test]
    fn what_names_no_zone_has_no_time() {
        for bad in ["", "Europe/Atlantis", "../../etc/passwd", "+02:00", "CET-1CEST", "a\0b"] {
            assert!(local_time(bad, datetime!(2026-11-22 12:00 UTC)).is_none(), "{bad:?}");
        }
    }
}
