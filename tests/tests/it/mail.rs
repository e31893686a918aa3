//! Mails are written down with the change that they tell of, and sent by a job.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use voice_saas_core::{
    VoiceSaas,
    auth::SecretKey,
    clock::Clock,
    job::{Job, JobState},
    mail::{Letterhead, NewMail, template},
    page::PageRequest,
    provider::ErrorKind,
    store::Store,
    testing::{ManualClock, ambient, mail::MemoryMailer, system_scope},
};
use voice_saas_providers::sql;
use voice_saas_tests::eventually;

/// A library that does nothing but send mail, with a clock that stands.
struct Bench {
    app: VoiceSaas,
    mailer: MemoryMailer,
    clock: Arc<ManualClock>,
    stop: CancellationToken,
    worker: JoinHandle<()>,
}

impl Bench {
    async fn start() -> Self {
        let memory = SecretString::from("sqlite::memory:");
        let store: Arc<dyn Store> = sql::connect(&memory).await.expect("a database in memory opens");
        let clock = Arc::new(ManualClock::at("2026-11-21T09:00:00Z"));
        let mailer = MemoryMailer::new();
        let key = SecretKey::new([7; SecretKey::MIN_BYTES]).expect("the key is long enough");
        let url = "https://example.com".parse().expect("a URL");
        let app = VoiceSaas::builder(store, key, url)
            .with_ambient(ambient(Arc::clone(&clock)))
            .with_mailer(mailer.clone())
            .build();
        let stop = CancellationToken::new();
        let (working, until) = (app.clone(), stop.clone());
        let worker = tokio::spawn(async move { working.jobs().work(until).await });
        Self {
            app,
            mailer,
            clock,
            stop,
            worker,
        }
    }

    /// Whether it was written.
    async fn write(&self, mail: &NewMail, commit: bool) -> bool {
        let store = self.app.store();
        let mut tx = store.begin_system(&system_scope()).await.expect("a unit of work");
        let written = self.app.mail().write_system(&mut *tx, mail).await;
        let written = written.expect("the mail is written");
        if commit {
            tx.commit().await.expect("the unit of work is committed");
            store.wake_jobs().await.expect("the store answers");
        }
        written
    }

    async fn jobs(&self, state: JobState) -> Vec<Job> {
        let page = PageRequest::new(PageRequest::MAX, None).expect("the largest page");
        let jobs = self.app.jobs().list(Some(state), page).await;
        jobs.expect("jobs are listed").data
    }

    async fn job(&self, state: JobState, attempt: u16) -> Job {
        eventually("the job", async || {
            let jobs = self.jobs(state).await;
            jobs.into_iter().find(|job| job.attempt == attempt)
        })
        .await
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.app.store().wake_jobs().await.expect("the store answers");
    }

    async fn finish(self) {
        self.stop.cancel();
        self.worker.await.expect("nothing panics in the background");
    }
}

fn mail(key: &str) -> NewMail {
    let link = "https://example.com/reset?token=t0k3n".parse().expect("a URL");
    let letter = template::reset_password(&Letterhead::new("Acme"), &link, Duration::from_hours(1));
    NewMail::new("jane@example.com".parse().expect("an address"), letter, key)
}

#[tokio::test]
async fn a_mail_is_sent_once_its_change_is_committed_and_not_before() {
    let bench = Bench::start().await;
    assert!(bench.write(&mail("lost"), false).await);
    assert!(bench.write(&mail("kept"), true).await);
    bench.job(JobState::Finished, 1).await;
    let mails = bench.mailer.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to.as_str(), "jane@example.com");
    assert_eq!(mails[0].subject, "Reset your password for Acme");
    assert!(mails[0].text.contains("token=t0k3n") && mails[0].html.contains("token=t0k3n"));
    assert_eq!(mails[0].at, bench.clock.now());
    bench.finish().await;
}

#[tokio::test]
async fn what_waits_shows_neither_its_link_nor_its_reader() {
    let bench = Bench::start().await;
    bench.mailer.fail_next(ErrorKind::Unreachable);
    bench.write(&mail("a"), true).await;
    let job = bench.job(JobState::Ready, 1).await;
    let printed = format!("{job:?}");
    assert!(printed.contains("reset_password"), "{printed}");
    assert!(
        !printed.contains("t0k3n") && !printed.contains("jane"),
        "{printed}"
    );
    bench.finish().await;
}

#[tokio::test]
async fn while_a_mail_waits_another_about_the_same_is_not_written() {
    let bench = Bench::start().await;
    bench.mailer.fail_next(ErrorKind::Unreachable);
    assert!(bench.write(&mail("a"), true).await);
    bench.job(JobState::Ready, 1).await;
    assert!(!bench.write(&mail("a"), true).await);
    assert!(bench.write(&mail("b"), true).await);
    bench.job(JobState::Finished, 1).await;
    bench.advance(Duration::from_mins(1)).await;
    bench.job(JobState::Finished, 2).await;
    assert_eq!(bench.mailer.mails().len(), 2);
    bench.finish().await;
}

#[tokio::test]
async fn a_mail_that_may_have_been_taken_is_sent_again_under_the_same_id() {
    let bench = Bench::start().await;
    bench.mailer.fail_next(ErrorKind::TimedOut);
    bench.write(&mail("a"), true).await;
    bench.job(JobState::Ready, 1).await;
    bench.advance(Duration::from_secs(10)).await;
    bench.job(JobState::Finished, 2).await;
    let mails = bench.mailer.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0], mails[1]);
    bench.finish().await;
}

#[tokio::test]
async fn a_relay_that_is_away_for_hours_loses_no_mail() {
    let bench = Bench::start().await;
    let failures = [
        ErrorKind::Unreachable,
        ErrorKind::RateLimited { retry_after: None },
        // The credentials are the operator's affair, and no fault of the mail.
        ErrorKind::Unauthorized,
        ErrorKind::Unreachable,
        ErrorKind::Unreachable,
        ErrorKind::Unreachable,
        ErrorKind::Unreachable,
    ];
    for failure in failures {
        bench.mailer.fail_next(failure);
    }
    bench.write(&mail("a"), true).await;
    for attempt in 1..=7 {
        let job = bench.job(JobState::Ready, attempt).await;
        let wait = job.run_at.duration_since(bench.clock.now());
        bench.advance(Duration::try_from(wait).expect("it waits")).await;
    }
    bench.job(JobState::Finished, 8).await;
    assert_eq!(bench.mailer.mails().len(), 1);
    bench.finish().await;
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_not_tried_again() {
    let bench = Bench::start().await;
    bench.mailer.fail_next(ErrorKind::NotFound);
    bench.write(&mail("a"), true).await;
    let dead = bench.job(JobState::Dead, 1).await;
    assert_eq!(
        dead.error.as_deref(),
        Some("memory could not send a mail: NotFound")
    );
    assert!(bench.mailer.mails().is_empty());
    bench.finish().await;
}

#[tokio::test]
async fn a_mail_that_has_lost_its_sense_is_not_sent() {
    let bench = Bench::start().await;
    bench.mailer.fail_next(ErrorKind::Unreachable);
    let until = bench.clock.now() + Duration::from_secs(5);
    bench.write(&mail("a").with_not_after(until), true).await;
    bench.job(JobState::Ready, 1).await;
    bench.advance(Duration::from_secs(10)).await;
    bench.job(JobState::Finished, 2).await;
    assert!(bench.mailer.mails().is_empty());
    bench.finish().await;
}
