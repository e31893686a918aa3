//! Against a relay that misbehaves. A real one is asked in `tests/mail.rs`.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;

/// What a relay says when it is expected to say something else.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// Instead of the greeting.
    Greeting(&'static str),
    /// To the reader's address.
    Recipient(&'static str),
    /// To the login.
    Login(&'static str),
    /// After the whole mail.
    End(&'static str),
    /// After the whole mail: nothing, and the line is cut.
    Cut,
    /// After the whole mail: nothing for ever.
    Silent,
}

/// A relay on a loopback port; it hands on what it was told.
async fn relay(fault: Fault) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (heard, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, fault, heard.clone()));
        }
    });
    (addr.to_string(), told)
}

async fn talk(stream: TcpStream, fault: Fault, heard: mpsc::UnboundedSender<String>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let greeting = match fault {
        Fault::Greeting(line) => line,
        _ => "220 relay",
    };
    write.write_all(format!("{greeting}\r\n").as_bytes()).await.ok()?;
    let mut in_data = false;
    while let Some(line) = lines.next_line().await.ok()? {
        let _ = heard.send(line.clone());
        let word = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let answer = match (in_data, &*word, fault) {
            (true, _, _) if line != "." => continue,
            (true, _, Fault::End(line))
            | (false, "AUTH", Fault::Login(line))
            | (false, "RCPT", Fault::Recipient(line)) => line,
            (true, _, Fault::Cut) => return None,
            (true, _, Fault::Silent) => std::future::pending().await,
            (true, _, _) => "250 taken",
            (false, "EHLO", _) => "250-relay\r\n250 AUTH PLAIN",
            (false, "AUTH", _) => "235 welcome",
            (false, "DATA", _) => "354 go on",
            (false, "QUIT", _) => "221 bye",
            _ => "250 ok",
        };
        in_data = word == "DATA" && !in_data;
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    Some(())
}

fn smtp(url: &str) -> Result<Smtp, ProviderError> {
    Smtp::builder(url.into(), "Acme <no-reply@example.org>".parse().unwrap())
        .with_timeout(Duration::from_secs(2))
        .build()
}

fn mail() -> OutgoingMail {
    let to = "jane@example.com".parse().unwrap();
    OutgoingMail::new(
        "job_1",
        to,
        "Subject",
        "Plain.",
        "<p>Rich.</p>",
        jiff::Timestamp::UNIX_EPOCH,
    )
}

#[track_caller]
fn refused(url: &str, because: &str) {
    let error = smtp(url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
    assert!(error.detail().unwrap().contains(because), "{error:?}");
}

#[test]
fn the_url_says_how_the_connection_is_kept_secret() {
    for (url, expected) in [
        ("smtps://u:p@relay.example.com", Secrecy::Implicit),
        ("smtp://u:p%40ss@relay.example.com", Secrecy::StartTls),
        ("smtp://relay.example.com:25?tls=required", Secrecy::StartTls),
        ("smtp://localhost:2525?tls=none", Secrecy::Plain),
        ("smtp://[::1]:2525?tls=none", Secrecy::Plain),
    ] {
        assert_eq!(smtp(url).unwrap().secrecy, expected, "{url}");
    }
    refused("smtp://relay.example.com?tls=none", "loopback");
    refused("smtp://relay.example.com?tls=opportunistic", "tls=required");
    refused("smtps://relay.example.com?tls=none", "tls=required");
    refused("https://relay.example.com", "smtp://");
    refused("relay", "no URL");
}

#[test]
fn the_password_does_not_print() {
    let smtp = smtp("smtp://user:hunter2@127.0.0.1:1?tls=none").unwrap();
    let builder = Smtp::builder(
        "smtp://user:hunter2@h".into(),
        "no-reply@example.org".parse().unwrap(),
    );
    let printed = format!("{smtp:?} {builder:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn a_mail_is_handed_over_whole_and_the_connection_is_used_again() {
    let (addr, mut heard) = relay(Fault::None).await;
    let smtp = smtp(&format!("smtp://user:pass@{addr}?tls=none")).unwrap();
    for _ in 0..4 {
        smtp.send(&mail()).await.unwrap();
        // The connection goes back to the others in a task of its own.
        tokio::task::yield_now().await;
    }
    let mut lines = Vec::new();
    while let Ok(line) = heard.try_recv() {
        lines.push(line);
    }
    let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert!(count("EHLO") < 4, "{lines:?}");
    assert_eq!(count("MAIL FROM:<no-reply@example.org>"), 4, "{lines:?}");
    assert_eq!(count("RCPT TO:<jane@example.com>"), 4, "{lines:?}");
    assert_eq!(count("Message-ID: <job_1@example.org>"), 4, "{lines:?}");
}

#[track_caller]
fn check(error: &ProviderError, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error:?}");
    let printed = format!("{error:?}");
    assert!(
        !printed.contains("jane") && !printed.contains("pass"),
        "{printed}"
    );
}

async fn failure_of(fault: Fault) -> ProviderError {
    let (addr, _heard) = relay(fault).await;
    let smtp = smtp(&format!("smtp://user:pass@{addr}?tls=none")).unwrap();
    smtp.send(&mail()).await.unwrap_err()
}

#[tokio::test]
async fn a_relay_that_is_busy_has_not_taken_the_mail() {
    let busy = ErrorKind::RateLimited { retry_after: None };
    check(&failure_of(Fault::Greeting("421 too many of you")).await, busy);
    check(&failure_of(Fault::Recipient("450 jane is asleep")).await, busy);
    check(&failure_of(Fault::End("451 try again")).await, busy);
}

#[tokio::test]
async fn what_a_relay_will_never_take_is_told_apart() {
    check(
        &failure_of(Fault::Recipient("550 5.1.1 no jane here")).await,
        ErrorKind::NotFound,
    );
    check(
        &failure_of(Fault::End("554 spam for jane")).await,
        ErrorKind::Forbidden,
    );
    check(
        &failure_of(Fault::Login("535 not you")).await,
        ErrorKind::Unauthorized,
    );
}

#[tokio::test]
async fn after_the_last_dot_silence_may_mean_that_the_mail_was_taken() {
    check(&failure_of(Fault::Cut).await, ErrorKind::Interrupted);
    check(&failure_of(Fault::Silent).await, ErrorKind::TimedOut);
}

#[tokio::test]
async fn without_tls_nothing_is_sent_where_tls_is_asked_for() {
    let (addr, mut heard) = relay(Fault::None).await;
    let error = smtp(&format!("smtp://user:pass@{addr}"))
        .unwrap()
        .send(&mail())
        .await
        .unwrap_err();
    check(&error, ErrorKind::Unauthorized);
    while let Ok(line) = heard.try_recv() {
        assert!(line.starts_with("EHLO") || line.starts_with("QUIT"), "{line}");
    }
}

#[tokio::test]
async fn a_relay_that_is_not_there_has_certainly_not_taken_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let smtp = smtp(&format!("smtp://{addr}?tls=none")).unwrap();
    check(&smtp.send(&mail()).await.unwrap_err(), ErrorKind::Unreachable);
}
