//! Calls that are carried, frame by frame.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tokio::{task::JoinHandle, time::Instant};
use voice_saas_core::clock::Ambient;

use crate::{
    Failure,
    frame::FRAME,
    http1::{Connection, counter},
    leg::{Leg, Listened},
    pacer::{Clock, Pacer, Spoken, Voice},
    platform::Platform,
    process::{Cores, Moment},
    report::Report,
    stats::{Times, milliseconds, number},
    webhook::{Forge, media_path},
};

/// How long nothing is counted after the last call began.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the last frames may be under way.
const LAST_FRAMES: Duration = Duration::from_secs(2);
/// How long the server may take to forget calls that ended.
const REST: Duration = Duration::from_secs(3);
/// How often the server's memory is looked at.
const SAMPLE: Duration = Duration::from_secs(10);

/// What stands between callers and agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Through {
    /// `serve-bridge`.
    Bridge,
    /// `serve-relay`.
    Relay,
    /// Nothing.
    Direct,
}

#[derive(Debug, Args)]
pub(crate) struct DriveBridge {
    /// What stands between callers and agents.
    #[arg(long, value_enum)]
    through: Through,
    /// Where it listens.
    #[arg(long, required_if_eq_any([("through", "bridge"), ("through", "relay")]))]
    server: Option<SocketAddr>,
    /// Its process, to see what it uses.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Where to play the agents' platform.
    #[arg(long)]
    platform: SocketAddr,
    /// How many calls at once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    calls: u32,
    /// How long it is counted.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// How many calls begin in a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    ramp: u32,
    /// Calls go to the first so many numbers.
    #[arg(long, default_value_t = 1_000)]
    numbers: u32,
    /// Agents tell what was said every so many seconds, which the server writes down; 0 = never.
    #[arg(long, default_value_t = 0)]
    turn_seconds: u32,
    /// The output of a run with `--through direct`, from which what was added is reckoned.
    #[arg(long)]
    baseline: Option<PathBuf>,
}

impl DriveBridge {
    fn moment(&self) -> Result<Moment, Failure> {
        Moment::now(self.server_pid)
    }

    fn turn(&self) -> Option<Duration> {
        (self.turn_seconds > 0).then(|| Duration::from_secs(self.turn_seconds.into()))
    }
}

/// The callers.
struct Callers {
    through: Through,
    server: SocketAddr,
    clock: Arc<Clock>,
    longest: Duration,
    forge: Forge,
    webhooks: Option<Connection>,
    pacer: Pacer,
    legs: Vec<JoinHandle<Listened>>,
}

impl Callers {
    async fn new(args: &DriveBridge, server: SocketAddr) -> Result<Self, Failure> {
        let clock = Clock::start();
        let webhooks = match args.through {
            Through::Bridge => Some(Connection::open(server).await?),
            Through::Relay | Through::Direct => None,
        };
        let ramp = Duration::from_secs((args.calls / args.ramp).into());
        Ok(Self {
            through: args.through,
            server,
            pacer: Pacer::start(Arc::clone(&clock)),
            clock,
            longest: ramp + Duration::from_secs(u64::from(args.seconds) + 60),
            forge: Forge::new(u64::from_le_bytes(Ambient::system().random()), args.numbers),
            webhooks,
            legs: Vec::new(),
        })
    }

    /// Begins the next call, and to speak in it.
    async fn call(&mut self) -> Result<(), Failure> {
        let webhook = self.forge.next();
        let path = match &mut self.webhooks {
            Some(webhooks) => {
                let answer = webhooks.exchange(&webhook.request).await?;
                let path = media_path(&answer.body).filter(|_| answer.status == 200);
                path.ok_or_else(|| format!("{} {}", answer.status, answer.body))?
                    .to_owned()
            }
            None => "/media".to_owned(),
        };
        let call = u32::try_from(self.legs.len())?;
        let (leg, voice) = Leg::open(call, self.server, &path, &webhook.call_sid).await?;
        self.legs
            .push(tokio::spawn(leg.listen(Arc::clone(&self.clock), self.longest)));
        self.pacer.add(voice)
    }

    /// Lets the last frames arrive, hangs up, and waits until every socket is closed.
    async fn finish(self) -> Result<Ended, Failure> {
        let Spoken {
            sent,
            refused,
            late,
            voices,
        } = self.pacer.finish()?;
        tokio::time::sleep(LAST_FRAMES).await;
        let unheard = voices
            .into_iter()
            .map(Voice::hang_up)
            .filter(|said| !said)
            .count();
        let mut ended = Ended {
            sent: sent.iter().map(|sent| u64::from(*sent)).sum(),
            refused: refused + u64::try_from(unheard)?,
            late,
            ..Ended::default()
        };
        for leg in self.legs {
            ended.add(leg.await?);
        }
        let metrics = match self.through {
            Through::Bridge => Connection::open(self.server).await?.get("/metrics").await?.body,
            Through::Relay | Through::Direct => String::new(),
        };
        ended.complaints = COMPLAINTS
            .iter()
            .map(|name| counter(&metrics, name))
            .fold(0.0, |sum, count| sum + count);
        Ok(ended)
    }
}

/// What the server itself counts when something goes wrong.
const COMPLAINTS: [&str; 3] = [
    "voice_saas_caller_audio_dropped_total",
    "voice_saas_call_events_lost_total",
    "voice_saas_media_messages_malformed_total",
];

/// What came of all calls.
#[derive(Default)]
struct Ended {
    sent: u64,
    received: u64,
    duplicated: u64,
    reordered: u64,
    wrong: u64,
    refused: u64,
    complaints: f64,
    late: Times,
    round_trips: Times,
}

impl Ended {
    fn add(&mut self, leg: Listened) {
        self.received += u64::from(leg.tally.received);
        self.duplicated += u64::from(leg.tally.duplicated);
        self.reordered += u64::from(leg.tally.reordered);
        self.wrong += u64::from(leg.tally.wrong);
        self.round_trips.append(leg.round_trips);
    }

    /// Whether every frame came back once, in its place, and nobody complained.
    fn is_right(&self) -> bool {
        let wrong = self.duplicated + self.reordered + self.wrong + self.refused;
        self.sent > 0 && self.sent == self.received && wrong == 0 && self.complaints == 0.0
    }
}

/// What was used while it counted.
struct Used {
    cores: Cores,
    /// The server's memory, in kibibytes.
    samples: Vec<u64>,
}

/// Lets the calls go on for as long as it counts.
async fn carry(args: &DriveBridge, clock: &Clock) -> Result<Used, Failure> {
    tokio::time::sleep(SETTLE).await;
    clock.count();
    let before = args.moment()?;
    let mut samples = Vec::new();
    let end = Instant::now() + Duration::from_secs(args.seconds.into());
    loop {
        tokio::time::sleep_until(end.min(Instant::now() + SAMPLE)).await;
        let now = args.moment()?;
        samples.extend(now.server.map(|used| used.kibibytes));
        if Instant::now() >= end {
            clock.count_no_more();
            let cores = now.since(&before);
            return Ok(Used { cores, samples });
        }
    }
}

/// Plays callers and agents. Whether every frame came back as it was sent.
pub(crate) async fn drive(args: DriveBridge) -> Result<bool, Failure> {
    let baseline = args.baseline.as_ref().map(fs::read_to_string).transpose()?;
    let baseline = baseline.as_deref().map(Report::last_of).transpose()?;
    let platform = Platform::start(args.platform, args.turn()).await?;
    let server = args.server.unwrap_or_else(|| platform.address());
    let mut callers = Callers::new(&args, server).await?;
    // What the first call brings into memory for good is not what a call costs.
    callers.call().await?;
    tokio::time::sleep(SETTLE).await;
    let with_one_call = args.moment()?.server;

    let mut beat = tokio::time::interval(Duration::from_secs(1) / args.ramp);
    for _ in 1..args.calls {
        beat.tick().await;
        callers.call().await?;
    }
    let used = carry(&args, &callers.clock).await?;
    let mut ended = callers.finish().await?;
    tokio::time::sleep(REST).await;
    let rested = args.moment()?.server;

    let late = std::mem::take(&mut ended.late).summary();
    let round_trips = std::mem::take(&mut ended.round_trips).summary();
    let seconds = f64::from(args.seconds);
    let due = f64::from(args.calls) * seconds / FRAME.as_secs_f64();
    let mut report = Report::new("bridge")
        .with("name", format!("{:?}", args.through).to_lowercase())
        .with("calls", args.calls)
        .with("seconds", args.seconds)
        .with("turn_seconds", args.turn_seconds)
        .with("sent", ended.sent)
        .with("lost", ended.sent.saturating_sub(ended.received))
        .with("duplicated", ended.duplicated)
        .with("reordered", ended.reordered)
        .with("wrong", ended.wrong)
        .with("refused", ended.refused)
        .with_number("complaints", ended.complaints)
        .with("pings", platform.pings.load(Ordering::Relaxed))
        .with("pongs", platform.pongs.load(Ordering::Relaxed))
        .with_number("counted_of_due", number(round_trips.count as u64) / due)
        .with_times("round_trip", &round_trips)
        .with_number("load_late_p50_ms", milliseconds(late.p50))
        .with_number("load_late_p99_ms", milliseconds(late.p99))
        .with_number("load_cores", used.cores.load)
        .with_number("other_cores", used.cores.others);
    if let Some(baseline) = baseline {
        for quantile in ["p50", "p99", "p999"] {
            let name = format!("round_trip_{quantile}_ms");
            let (with, without) = (report.number(&name), baseline.number(&name));
            let added = with.zip(without).ok_or("the baseline has no round trips")?;
            report = report.with_number(&format!("added_{quantile}_ms"), added.0 - added.1);
        }
    }
    if let (Some(cores), Some(one), Some(rested)) = (used.cores.server, with_one_call, rested) {
        let last = used.samples.last().copied().unwrap_or(0);
        let grown = number(last.saturating_sub(one.kibibytes));
        report = report
            .with_number("server_cores", cores)
            .with_number(
                "server_cpu_ms_per_call_minute",
                cores * 60_000.0 / f64::from(args.calls),
            )
            .with("rss_one_call_kib", one.kibibytes)
            .with("rss_samples_kib", used.samples)
            .with("rss_rested_kib", rested.kibibytes)
            .with_number("rss_kib_per_call", grown / f64::from(args.calls - 1).max(1.0));
    }
    println!("{report}");
    Ok(ended.is_right())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Ended {
        Ended {
            sent: 10,
            received: 10,
            ..Ended::default()
        }
    }

    #[test]
    fn a_run_is_right_when_every_frame_came_back_once() {
        assert!(right().is_right());
        assert!(!Ended::default().is_right());
        for spoil in [
            |ended: &mut Ended| ended.received = 9,
            |ended: &mut Ended| ended.duplicated = 1,
            |ended: &mut Ended| ended.reordered = 1,
            |ended: &mut Ended| ended.wrong = 1,
            |ended: &mut Ended| ended.refused = 1,
            |ended: &mut Ended| ended.complaints = 1.0,
        ] {
            let mut ended = right();
            spoil(&mut ended);
            assert!(!ended.is_right());
        }
    }
}
