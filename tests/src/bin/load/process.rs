//! What a process used, as Linux tells it.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::Failure;

/// The unit of `/proc`'s processor times, the same on every Linux that programs see (`USER_HZ`).
const TICKS_PER_SECOND: u32 = 100;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of all its threads, in user and kernel mode.
    processor: Duration,
    /// Resident memory.
    pub(crate) kibibytes: u64,
}

impl Usage {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is none, or this is not Linux.
    fn of(process: &str) -> Result<Self, Failure> {
        let read = |file| {
            let path = format!("/proc/{process}/{file}");
            fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
        };
        Ok(Self {
            processor: processor(&read("stat")?).ok_or("no processor times in /proc")?,
            kibibytes: resident(&read("status")?).ok_or("no resident memory in /proc")?,
        })
    }
}

/// What was used between two moments, in processors that were busy all the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    /// By the server.
    pub(crate) server: Option<f64>,
    /// By this process.
    pub(crate) load: f64,
    /// By everybody else, the database included.
    pub(crate) others: f64,
}

/// A moment at which it was seen what everybody had used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    at: Instant,
    pub(crate) server: Option<Usage>,
    load: Usage,
    /// How long all processors together idled, and how many there are.
    idle: (Duration, u32),
}

impl Moment {
    /// Now.
    pub(crate) fn now(server: Option<u32>) -> Result<Self, Failure> {
        Ok(Self {
            at: Instant::now(),
            server: server.map(|pid| Usage::of(&pid.to_string())).transpose()?,
            load: Usage::of("self")?,
            idle: machine_idle()?,
        })
    }

    /// What was used since an earlier moment.
    pub(crate) fn since(&self, earlier: &Self) -> Cores {
        let seconds = (self.at - earlier.at).as_secs_f64();
        let cores =
            |after: Duration, before: Duration| (after.saturating_sub(before)).as_secs_f64() / seconds;
        let server = self.server.zip(earlier.server);
        let server = server.map(|(after, before)| cores(after.processor, before.processor));
        let load = cores(self.load.processor, earlier.load.processor);
        let machine = f64::from(self.idle.1) - cores(self.idle.0, earlier.idle.0);
        Cores {
            server,
            load,
            others: (machine - load - server.unwrap_or(0.0)).max(0.0),
        }
    }
}

/// The time that all processors of the machine together did nothing.
fn machine_idle() -> Result<(Duration, u32), Failure> {
    idle(&fs::read_to_string("/proc/stat")?).ok_or_else(|| "no processor times in /proc/stat".into())
}

/// How long processors idled or waited, and how many there are (`proc_stat(5)`). What they did meanwhile is sampled
/// there, and misses what runs for less than a tick; idling is measured.
fn idle(stat: &str) -> Option<(Duration, u32)> {
    let mut processors = stat.lines().take_while(|line| line.starts_with("cpu"));
    let all = processors.next()?.strip_prefix("cpu ")?;
    let mut times = all.split_whitespace().skip(3).map(str::parse);
    let (idle, waiting): (u64, u64) = (times.next()?.ok()?, times.next()?.ok()?);
    let count = processors.count().try_into().ok()?;
    Some((Duration::from_secs(idle + waiting) / TICKS_PER_SECOND, count))
}

/// The 14th and 15th fields (`proc_pid_stat(5)`). The second is the program's name, in which anything may stand.
fn processor(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse);
    let (user, system): (u64, u64) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(Duration::from_secs(user + system) / TICKS_PER_SECOND)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_times_are_found_behind_any_name() {
        let stat = "42 (a) b (c) R 1 42 42 0 -1 4194304 9 0 0 0 150 25 7 8 20 0 3 0 100 1 2 3";
        assert_eq!(processor(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(processor("42 (a) R 1"), None);
    }

    #[test]
    fn a_machine_idles_when_it_has_nothing_to_do_or_waits() {
        let stat = "cpu  100 20 30 9000 800 4 5 6 0 0\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 1 2\n";
        assert_eq!(idle(stat), Some((Duration::from_secs(98), 2)));
        assert_eq!(idle("cpu 1 2"), None);
    }

    #[test]
    fn half_a_core_is_half_the_time() {
        let start = Instant::now();
        let moment = |at, server, load, idle| Moment {
            at: start + Duration::from_secs(at),
            server: Some(used(server)),
            load: used(load),
            idle: (Duration::from_secs(idle), 2),
        };
        let cores = moment(10, 6, 2, 13).since(&moment(0, 1, 1, 1));
        assert_eq!((cores.server, cores.load), (Some(0.5), 0.1));
        assert!((cores.others - 0.2).abs() < 1e-9, "{cores:?}");
    }

    fn used(seconds: u64) -> Usage {
        Usage {
            processor: Duration::from_secs(seconds),
            kibibytes: 0,
        }
    }

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(
            resident("Name:\tload\nVmPeak:\t  9 kB\nVmRSS:\t    1234 kB\n"),
            Some(1_234)
        );
        assert_eq!(resident("Name:\tload\n"), None);
    }
}
