//! When a schedule is due: a cron expression in a time zone, or a period.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use shared::clock::Random;
use shared::node::Error;
use shared::store::schedule::ScheduleRow;
use shared::wire::Timestamp;

/// A cron expression is short; what is longer is none.
const MAX_CRON: usize = 100;
const PERIODS: std::ops::RangeInclusive<i64> = 60..=366 * 24 * 60 * 60;
const MAX_JITTER: i64 = 24 * 60 * 60;

/// When runs are due.
#[derive(Clone, Debug)]
pub enum Rhythm {
    /// At the moments of an expression, in a zone.
    Cron(Box<Cron>, Tz),
    /// So long after the beginning of the last one.
    Period(Duration),
}

impl Rhythm {
    /// Of what somebody wrote.
    ///
    /// # Errors
    /// [`Error::BadRequest`] that says what to write.
    pub fn of(cron: Option<&str>, zone: &str, period_seconds: Option<i64>) -> Result<Self, Error> {
        match (cron, period_seconds) {
            (Some(text), None) => {
                let zone: Tz = zone.parse().map_err(|_unknown| {
                    Error::BadRequest(
                        "zone: no such time zone in the IANA database: write it as in Europe/Berlin, \
                         America/Detroit or UTC"
                            .to_owned(),
                    )
                })?;
                Ok(Self::Cron(Box::new(expression(text)?), zone))
            }
            (None, Some(seconds)) if PERIODS.contains(&seconds) => {
                Ok(Self::Period(Duration::seconds(seconds)))
            }
            (None, Some(_)) => Err(Error::BadRequest(format!(
                "period_seconds must be {} to {} (a minute to 366 days)",
                PERIODS.start(),
                PERIODS.end()
            ))),
            _ => Err(Error::BadRequest(
                "a schedule is either a cron expression or a period: give one of the two".to_owned(),
            )),
        }
    }

    /// Of a stored row.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_row(row: &ScheduleRow) -> Result<Self, Error> {
        Self::of(row.cron.as_deref(), &row.zone, row.period_seconds)
    }

    /// The first moment: a period begins at once.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an expression that never comes.
    pub fn first(&self, now: Timestamp) -> Result<Timestamp, Error> {
        match self {
            Self::Cron(..) => self.next(now, now),
            Self::Period(_) => Ok(now),
        }
    }

    /// The next moment after a run that began at `began`. What was missed since is not made up for.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an expression that never comes.
    pub fn next(&self, began: Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
        match self {
            Self::Period(period) => Ok(began.plus(*period).max(now)),
            Self::Cron(cron, zone) => {
                let here: DateTime<Tz> = now.get().with_timezone(zone);
                cron.find_next_occurrence(&here, false)
                    .map(|moment| Timestamp::new(moment.with_timezone(&Utc)))
                    .map_err(|_never| {
                        Error::BadRequest("cron: this moment never comes: mend day and month".to_owned())
                    })
            }
        }
    }
}

fn expression(text: &str) -> Result<Cron, Error> {
    let refused = |why: &str| {
        Error::BadRequest(format!(
            "cron: {why}: write five fields (minute, hour, day of month, month, day of week), as in 15 2 * * * \
             for a quarter past two each day, or @hourly, @daily, @weekly or @monthly"
        ))
    };
    let text = text.trim();
    let is_known = |c: char| c.is_ascii_alphanumeric() || " *,-/?#@".contains(c);
    if text.len() > MAX_CRON || !text.chars().all(is_known) {
        return Err(refused("it is longer than any expression, or holds other characters"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| refused(error.to_string().trim_end_matches('.')))
}

/// Refuses a jitter that makes no sense.
///
/// # Errors
/// [`Error::BadRequest`].
pub fn check_jitter(seconds: i64, rhythm: &Rhythm) -> Result<(), Error> {
    let most = match rhythm {
        Rhythm::Cron(..) => MAX_JITTER,
        Rhythm::Period(period) => period.num_seconds().min(MAX_JITTER),
    };
    if (0..=most).contains(&seconds) {
        Ok(())
    } else {
        Err(Error::BadRequest(format!("jitter_seconds must be 0 to {most}")))
    }
}

/// Up to `seconds` later, by chance: many secondaries must not come in the same second.
pub fn jittered(moment: Timestamp, seconds: i64, random: &Random) -> Timestamp {
    let most = u64::try_from(seconds).unwrap_or_default().saturating_mul(1_000).saturating_add(1);
    let millis = u64::from_be_bytes(random.bytes()) % most;
    moment.plus(Duration::milliseconds(i64::try_from(millis).unwrap_or_default()))
}

/// How long to wait after so many failures, one after the other. What an hour will not mend is asked less often.
pub fn back_off(failures: i64, is_temporary: bool) -> Duration {
    const CAP: Duration = Duration::hours(6);
    let first = if is_temporary { Duration::minutes(1) } else { Duration::minutes(15) };
    let doublings = u32::try_from(failures.saturating_sub(1).clamp(0, 16)).unwrap_or_default();
    first.checked_mul(1_i32.checked_shl(doublings).unwrap_or(i32::MAX)).map_or(CAP, |wait| wait.min(CAP))
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use shared::clock::Random;
    use shared::wire::Timestamp;

    use super::{Rhythm, back_off, check_jitter, jittered};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn moments(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let rhythm = Rhythm::of(Some(cron), zone, None).unwrap();
        let (mut now, mut found) = (at(from), Vec::new());
        for _ in 0..count {
            now = rhythm.next(now, now).unwrap();
            found.push(now.to_string());
        }
        found
    }

    #[test]
    fn an_expression_is_meant_in_its_zone_through_the_change_of_the_clocks() {
        // Spring: 02:00 to 03:00 is left out on the 28th of March 2027. Half past two comes once all the same.
        let spring = moments("30 2 * * *", "Europe/Berlin", "2027-03-26T12:00:00Z", 3);
        assert_eq!(spring[0], "2027-03-27T01:30:00Z");
        assert!(spring[1].starts_with("2027-03-28T01:"), "{spring:?}");
        assert_eq!(spring[2], "2027-03-29T00:30:00Z");
        // Autumn: 02:00 to 03:00 comes twice on the 31st of October 2027, and the run once.
        let autumn = moments("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 3);
        assert_eq!(autumn, ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z", "2027-11-02T01:30:00Z"]);
        // What comes every hour comes in each of the hours that there really are.
        let hourly = moments("0 * * * *", "Europe/Berlin", "2027-10-30T23:30:00Z", 4);
        assert_eq!(
            hourly,
            ["2027-10-31T00:00:00Z", "2027-10-31T01:00:00Z", "2027-10-31T02:00:00Z", "2027-10-31T03:00:00Z"]
        );
    }

    #[test]
    fn a_period_counts_from_the_beginning_and_makes_up_for_nothing() {
        let rhythm = Rhythm::of(None, "UTC", Some(3_600)).unwrap();
        let began = at("2026-11-28T10:00:00Z");
        assert_eq!(rhythm.next(began, at("2026-11-28T10:05:00Z")).unwrap(), at("2026-11-28T11:00:00Z"));
        let late = at("2026-11-30T00:00:00Z");
        assert_eq!(rhythm.next(began, late).unwrap(), late);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_remedy() {
        let refused = |cron: Option<&str>, zone: &str, period: Option<i64>| {
            let rhythm = Rhythm::of(cron, zone, period);
            rhythm.and_then(|rhythm| rhythm.first(at("2026-11-28T10:00:00Z"))).unwrap_err().to_string()
        };
        for cron in
            ["", "61 * * * *", "* * * *", "0 0 2 * * *", "0 0 1 1 * 2030", "a b c d e", "5 4 * * \u{7}"]
        {
            let words = refused(Some(cron), "UTC", None);
            assert!(words.starts_with("cron: ") && words.contains("15 2 * * *"), "{cron:?}: {words}");
        }
        assert!(refused(Some("0 0 30 2 *"), "UTC", None).contains("never comes"));
        for zone in ["Berlin", "", "Europe/Nowhere", "+01:00"] {
            assert!(refused(Some("@daily"), zone, None).contains("Europe/Berlin"), "{zone}");
        }
        for period in [0, 59, -1, 400 * 86_400] {
            assert!(refused(None, "UTC", Some(period)).contains("60 to 31622400"), "{period}");
        }
        assert!(refused(None, "UTC", None).contains("give one of the two"));
        assert!(refused(Some("@daily"), "UTC", Some(60)).contains("give one of the two"));
        let hour = Rhythm::of(None, "UTC", Some(3_600)).unwrap();
        assert!(check_jitter(3_600, &hour).is_ok());
        for wrong in [-1, 3_601] {
            assert!(check_jitter(wrong, &hour).unwrap_err().to_string().contains("0 to 3600"));
        }
    }

    #[test]
    fn chance_stays_within_its_limit() {
        let (moment, random) = (at("2026-11-28T10:00:00Z"), Random::seeded(7));
        assert_eq!(jittered(moment, 0, &random), moment);
        let all: Vec<Timestamp> = (0..200).map(|_| jittered(moment, 60, &random)).collect();
        assert!(all.iter().all(|one| (moment..=moment.plus(Duration::seconds(60))).contains(one)));
        assert!(all.iter().any(|one| *one > moment.plus(Duration::seconds(40))));
    }

    #[test]
    fn failures_are_waited_for_longer_and_longer_and_not_for_ever() {
        let minutes = |failures, temporary| back_off(failures, temporary).num_minutes();
        assert_eq!([1, 2, 3, 4].map(|count| minutes(count, true)), [1, 2, 4, 8]);
        assert_eq!([1, 2, 3].map(|count| minutes(count, false)), [15, 30, 60]);
        assert_eq!([100, i64::MAX].map(|count| minutes(count, true)), [360, 360]);
    }
}
