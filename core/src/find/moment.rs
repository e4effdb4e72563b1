//! Points in time as people write them.

use std::fmt;

use time::{Date, Month};

use crate::time::Timestamp;

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;
/// Julian day of 1970-01-01.
const EPOCH_DAY: i32 = 2_440_588;

/// A point or a day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// `2026-01-31`: that day, all of it.
    Day(Date),
    /// `2026-01-31T12:30` or `2026-01-31T12:30:05`, with or without `Z`; in milliseconds since 1970.
    At(u64),
    /// `today`, all of it.
    Today,
    /// `now`.
    Now,
    /// `-7d`, `+2h`: so many units from now, in milliseconds.
    FromNow(i64),
}

/// Units of [`Moment::FromNow`], longest first.
const UNITS: [(char, i64); 5] =
    [('w', 7 * DAY as i64), ('d', DAY as i64), ('h', 3_600_000), ('m', 60_000), ('s', 1_000)];

impl Moment {
    /// Reads a moment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "now" => Some(Self::Now),
            "today" => Some(Self::Today),
            _ => match text.split_once(['T', 't']) {
                Some((day, clock)) => Some(Self::At(start(date(day)?)?.checked_add(time_of_day(clock)?)?)),
                None => match text.chars().next()? {
                    '-' | '+' => from_now(text),
                    _ => date(text).filter(|date| start(*date).is_some()).map(Self::Day),
                },
            },
        }
    }

    /// Its first millisecond, and the first one after it.
    #[must_use]
    pub fn bounds(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let day = |from: u64| (Timestamp(from), Timestamp(from.saturating_add(DAY)));
        let point = |at: u64| (Timestamp(at), Timestamp(at.saturating_add(1)));
        match self {
            Self::Day(date) => day(start(date).unwrap_or_default()),
            Self::Today => day(now.0 - now.0 % DAY),
            Self::At(at) => point(at),
            Self::Now => point(now.0),
            Self::FromNow(ms) => point(now.0.saturating_add_signed(ms)),
        }
    }

    /// Whether it moves as time goes on.
    #[must_use]
    pub fn is_relative(self) -> bool {
        matches!(self, Self::Today | Self::Now | Self::FromNow(_))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(date) => date.fmt(f),
            Self::Today => f.write_str("today"),
            Self::Now => f.write_str("now"),
            Self::At(at) => {
                let day = i32::try_from(at / DAY).ok().and_then(|day| day.checked_add(EPOCH_DAY));
                let date = day.and_then(|day| Date::from_julian_day(day).ok()).unwrap_or(Date::MAX);
                let seconds = at % DAY / SECOND;
                let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
                write!(f, "{date}T{hour:02}:{minute:02}")?;
                if second == 0 { Ok(()) } else { write!(f, ":{second:02}") }
            }
            Self::FromNow(ms) => {
                let fits = |(_, unit): &&(char, i64)| ms % unit == 0;
                let (letter, unit) = UNITS.iter().find(fits).copied().unwrap_or(('s', 1_000));
                write!(f, "{:+}{letter}", ms / unit)
            }
        }
    }
}

/// Milliseconds from 1970 to the day's start; none for earlier days.
fn start(date: Date) -> Option<u64> {
    u64::try_from(date.to_julian_day() - EPOCH_DAY).ok().map(|days| days * DAY)
}

/// Two parts of digits only, of these lengths.
fn digits(text: &str, length: usize) -> Option<u32> {
    let is_plain = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = Month::try_from(u8::try_from(digits(parts.next()?, 2)?).ok()?).ok()?;
    let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    if parts.next().is_some() {
        return None;
    }
    Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()
}

fn time_of_day(text: &str) -> Option<u64> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = match parts.next() {
        Some(second) => digits(second, 2).filter(|second| *second < 60)?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(u64::from(hour * 3_600 + minute * 60 + second) * SECOND)
}

fn from_now(text: &str) -> Option<Moment> {
    let letter = text.chars().next_back()?;
    let (_, unit) = UNITS.iter().find(|(known, _)| *known == letter)?;
    let number = text.get(1..text.len().checked_sub(1)?)?;
    // A hundred years of seconds have ten digits.
    if number.is_empty() || number.len() > 10 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ms = number.parse::<i64>().ok()?.checked_mul(*unit)?;
    Some(Moment::FromNow(if text.starts_with('-') { -ms } else { ms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_printed_alike() {
        for (text, printed) in [
            ("2026-01-31", "2026-01-31"),
            ("2026-01-31T12:30Z", "2026-01-31T12:30"),
            ("2026-01-31t12:30:05", "2026-01-31T12:30:05"),
            ("-14d", "-2w"),
            ("+90m", "+90m"),
            ("-3600s", "-1h"),
            ("now", "now"),
            ("today", "today"),
        ] {
            let moment = Moment::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(moment.to_string(), printed);
            assert_eq!(Moment::parse(printed), Some(moment));
        }
        for text in [
            "",
            "-",
            "-d",
            "-7",
            "7d",
            "-7y",
            "2026-1-1",
            "2026-02-30",
            "2026-01-01T",
            "2026-01-01T24:00",
            "2026-01-01-01",
            "1969-12-31",
            "2026-01-01T10:00+02:00",
            "-99999999999w",
        ] {
            assert_eq!(Moment::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_day_is_all_of_it() {
        let now = Timestamp(10 * DAY + 5);
        let bounds = |text: &str| {
            let (from, until) = Moment::parse(text).unwrap().bounds(now);
            (from.0, until.0)
        };
        assert_eq!(bounds("1970-01-02"), (DAY, 2 * DAY));
        assert_eq!(bounds("today"), (10 * DAY, 11 * DAY));
        assert_eq!(bounds("-1d"), (9 * DAY + 5, 9 * DAY + 6));
        assert_eq!(bounds("1970-01-02T00:00:01"), (DAY + 1_000, DAY + 1_001));
    }
}
