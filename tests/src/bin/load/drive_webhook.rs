//! Signed voice webhooks over connections that are kept alive.

use std::{
    net::SocketAddr,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::sync::{
    Mutex,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use voice_saas_core::clock::Ambient;

use crate::{
    Failure,
    http1::{Answer, Connection},
    process::Moment,
    report::Report,
    stats::{Times, number},
    webhook::{Forge, media_path},
};

/// Not counted: caches fill, connections open.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long answers may come after the last request was due.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct DriveWebhook {
    /// Where `serve-webhook` listens.
    #[arg(long)]
    server: SocketAddr,
    /// Its process, to see what it uses.
    #[arg(long)]
    server_pid: Option<u32>,
    /// A name for the report, such as that of the database.
    #[arg(long, default_value = "webhook")]
    name: String,
    /// Requests per second, or `max` for as many as are answered.
    #[arg(long)]
    rate: Rate,
    /// How long it is counted.
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// How many requests may be under way.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Calls go to the first so many numbers.
    #[arg(long, default_value_t = 100_000)]
    numbers: u32,
}

/// How often requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    /// The next when the last was answered.
    Max,
    /// When they are due, whatever becomes of those before.
    PerSecond(u32),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "max" => Ok(Self::Max),
            Ok(rate @ 1..=100_000) => Ok(Self::PerSecond(rate)),
            _ => Err("write `max` or a number up to 100000".to_owned()),
        }
    }
}

impl Rate {
    fn word(self) -> String {
        match self {
            Self::Max => "max".to_owned(),
            Self::PerSecond(rate) => rate.to_string(),
        }
    }
}

/// When requests are due.
#[derive(Debug)]
struct Schedule {
    server: SocketAddr,
    counted_from: Instant,
    end: Instant,
    /// `None`: always.
    due: Option<Mutex<UnboundedReceiver<Instant>>>,
}

impl Schedule {
    /// Waits until the next request is due; `None` when there are no more.
    async fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        match &self.due {
            None => (now < self.end).then_some(now),
            Some(_) if now >= self.end + GRACE => None,
            Some(due) => due.lock().await.recv().await,
        }
    }
}

/// When requests are due before `end`, since the start.
fn steps(rate: u32, end: Duration) -> impl Iterator<Item = Duration> {
    (0_u32..)
        .map(move |turn| Duration::from_secs(turn.into()) / rate)
        .take_while(move |step| *step < end)
}

/// Says when requests are due. A thread of its own sleeps more exactly than a runtime does, and is late for nobody.
fn pace(rate: u32, start: Instant, end: Instant, due: &UnboundedSender<Instant>) {
    for step in steps(rate, end.saturating_duration_since(start)) {
        let next = start + step;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if due.send(next).is_err() {
            return;
        }
    }
}

/// What one connection, or all of them, saw.
#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    /// Of the time that is counted.
    times: Times,
    failed: u64,
    first_failure: Option<String>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.times.append(other.times);
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

async fn work(schedule: std::sync::Arc<Schedule>, mut forge: Forge) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    loop {
        let request = forge.next().request;
        let Some(due) = schedule.next().await else {
            return seen;
        };
        match exchange(&mut connection, schedule.server, &request).await {
            Ok(()) => {
                seen.answered += 1;
                if due >= schedule.counted_from {
                    seen.times.push(due.elapsed());
                }
            }
            Err(failure) => {
                seen.failed += 1;
                seen.first_failure.get_or_insert_with(|| failure.to_string());
                connection = None;
            }
        }
    }
}

async fn exchange(
    connection: &mut Option<Connection>,
    server: SocketAddr,
    request: &[u8],
) -> Result<(), Failure> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(server).await?),
    };
    match connection.exchange(request).await? {
        Answer { status: 200, body } if media_path(&body).is_some() => Ok(()),
        Answer { status, body } => Err(format!("{status} {body}").into()),
    }
}

/// Puts load on the voice webhook. Whether every answer was right.
pub(crate) async fn drive(args: DriveWebhook) -> Result<bool, Failure> {
    let forge = Forge::new(u64::from_le_bytes(Ambient::system().random()), args.numbers);
    let start = Instant::now() + Duration::from_millis(100);
    let counted_from = start + WARM_UP;
    let end = counted_from + Duration::from_secs(args.seconds.into());
    let (due, pacer) = match args.rate {
        Rate::Max => (None, None),
        Rate::PerSecond(rate) => {
            let (sender, receiver) = unbounded_channel();
            let pacer = thread::spawn(move || pace(rate, start, end, &sender));
            (Some(Mutex::new(receiver)), Some(pacer))
        }
    };
    let schedule = std::sync::Arc::new(Schedule {
        server: args.server,
        counted_from,
        end,
        due,
    });
    let workers: Vec<_> = (0..args.connections)
        .map(|worker| tokio::spawn(work(schedule.clone(), forge.worker(worker.into()))))
        .collect();

    tokio::time::sleep_until(counted_from.into()).await;
    let before = Moment::now(args.server_pid)?;
    tokio::time::sleep_until(end.into()).await;
    let after = Moment::now(args.server_pid)?;

    let mut seen = Seen::default();
    for worker in workers {
        seen.add(worker.await?);
    }
    if let Some(pacer) = pacer {
        pacer.join().map_err(|_| "the pacer failed")?;
    }
    let unsent = match &schedule.due {
        Some(due) => due.lock().await.len(),
        None => 0,
    };

    let times = std::mem::take(&mut seen.times).summary();
    let counted = number(times.count as u64);
    let seconds = f64::from(args.seconds);
    let mut report = Report::new("webhook")
        .with("name", args.name)
        .with("rate", args.rate.word())
        .with("connections", args.connections)
        .with("numbers", args.numbers)
        .with("seconds", args.seconds)
        .with("answered", seen.answered)
        .with("failed", seen.failed)
        .with("unsent", unsent)
        .with_number("per_second", counted / seconds)
        .with_times("latency", &times);
    let cores = after.since(&before);
    if let (Some(used), Some(before), Some(after)) = (cores.server, before.server, after.server) {
        report = report
            .with_number("server_cores", used)
            .with_number(
                "server_cpu_ms_per_call",
                used * seconds * 1_000.0 / counted.max(1.0),
            )
            .with("server_rss_before_kib", before.kibibytes)
            .with("server_rss_after_kib", after.kibibytes);
    }
    report = report
        .with_number("load_cores", cores.load)
        .with_number("other_cores", cores.others);
    println!("{report}");
    if let Some(failure) = &seen.first_failure {
        eprintln!("the first wrong answer: {failure}");
    }
    Ok(seen.failed == 0 && unsent == 0 && seen.answered > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_as_much_as_there_is() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("500".parse(), Ok(Rate::PerSecond(500)));
        for wrong in ["", "0", "-1", "fast", "100001"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn requests_are_due_in_equal_steps() {
        let due: Vec<_> = steps(1_000, Duration::from_millis(5)).collect();
        assert_eq!(due, (0..5).map(Duration::from_millis).collect::<Vec<_>>());
    }
}
