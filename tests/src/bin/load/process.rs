//! What a process used, as Linux tells it.

use std::{fs, time::Duration};

use crate::Failure;

/// The unit of `/proc`'s processor times, the same on every Linux that programs see (`USER_HZ`).
const TICKS_PER_SECOND: u32 = 100;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of all its threads, in user and kernel mode.
    pub(crate) processor: Duration,
    /// Resident memory.
    pub(crate) kibibytes: u64,
}

impl Usage {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is none, or this is not Linux.
    pub(crate) fn of(process: &str) -> Result<Self, Failure> {
        let read = |file| {
            let path = format!("/proc/{process}/{file}");
            fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
        };
        Ok(Self {
            processor: processor(&read("stat")?).ok_or("no processor times in /proc")?,
            kibibytes: resident(&read("status")?).ok_or("no resident memory in /proc")?,
        })
    }

    /// Of this process.
    pub(crate) fn own() -> Result<Self, Failure> {
        Self::of("self")
    }
}

/// The 14th and 15th fields (proc_pid_stat(5)). The second is the program's name, in which anything may stand.
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
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(resident("Name:\tload\nVmPeak:\t  9 kB\nVmRSS:\t    1234 kB\n"), Some(1_234));
        assert_eq!(resident("Name:\tload\n"), None);
    }
}
