//! Mail against a real SMTP server, and into a folder.
//!
//! The server is aiosmtpd, run by the Python that `VOICE_SAAS_TEST_AIOSMTPD` names; `scripts/with-smtp.sh` finds or
//! installs it.
#![cfg(all(feature = "smtp", feature = "outbox"))]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpStream;
use voice_saas_core::provider::{
    ErrorKind,
    mail::{Mailer, OutgoingMail},
};
use voice_saas_providers::mail::{Outbox, Sender, Smtp};

const PYTHON: &str = "VOICE_SAAS_TEST_AIOSMTPD";
/// Starting Python takes a second, and more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("voice-saas-mail-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Plain,
    StartTls,
    Implicit,
}

/// A running server that puts mail into a Maildir.
struct Server {
    process: Child,
    port: u16,
    certificate: Vec<u8>,
    folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

impl Server {
    /// `None`, said aloud, where there is no such server.
    #[expect(
        clippy::disallowed_methods,
        reason = "where the server is can only be said from outside"
    )]
    #[expect(clippy::print_stderr, reason = "a skipped test says so aloud")]
    async fn start(secrecy: Secrecy) -> Option<Self> {
        let Some(python) = std::env::var_os(PYTHON) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "{PYTHON} is not set, and in CI it must be"
            );
            eprintln!("SKIPPED: {PYTHON} is not set; run scripts/with-smtp.sh cargo nextest run");
            return None;
        };
        let folder = Folder::new();
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate");
        let (cert_file, key_file) = (folder.0.join("cert.pem"), folder.0.join("key.pem"));
        fs::write(&cert_file, pem("CERTIFICATE", certificate.der())).expect("a file");
        fs::write(&key_file, pem("PRIVATE KEY", &key.serialize_der())).expect("a file");
        let port = free_port();
        let mut command = Command::new(python);
        command
            .args([
                "-m",
                "aiosmtpd",
                "--nosetuid",
                "--listen",
                &format!("127.0.0.1:{port}"),
            ])
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let (cert_flag, key_flag) = match secrecy {
            Secrecy::Plain => ("", ""),
            Secrecy::StartTls => ("--tlscert", "--tlskey"),
            Secrecy::Implicit => ("--smtpscert", "--smtpskey"),
        };
        if secrecy != Secrecy::Plain {
            command
                .arg(cert_flag)
                .arg(&cert_file)
                .arg(key_flag)
                .arg(&key_file);
        }
        let process = command.arg(folder.0.join("mail")).spawn().expect("Python starts");
        let server = Self {
            process,
            port,
            certificate: certificate.der().to_vec(),
            folder,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "the SMTP server does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(server)
    }

    /// The mails that it has taken.
    fn mails(&self) -> Vec<String> {
        let new = self.folder.0.join("mail").join("new");
        let files = fs::read_dir(new).expect("a Maildir");
        files
            .map(|file| fs::read_to_string(file.expect("a file").path()).expect("a mail"))
            .collect()
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn sender() -> Sender {
    "Acme Voice <no-reply@example.org>".parse().expect("a sender")
}

fn mail(id: &str) -> OutgoingMail {
    let to = "jane@example.com".parse().expect("an address");
    let at: Timestamp = "2026-11-21T09:00:00Z".parse().expect("a time");
    let text = "Hello Jäne,\n\n.a line that begins with a dot\nhttps://example.com/?token=t0k3n\n";
    OutgoingMail::new(id, to, "Grüße", text, "<p>Hello Jäne</p>", at)
}

/// Its lines without the quoted-printable line ends.
fn unfolded(mail: &str) -> String {
    mail.replace("=\n", "").replace("=3D", "=")
}

#[tokio::test]
async fn a_real_server_takes_a_mail_as_it_was_written() {
    let Some(server) = Server::start(Secrecy::Plain).await else {
        return;
    };
    let smtp = Smtp::builder(
        format!("smtp://127.0.0.1:{}?tls=none", server.port).into(),
        sender(),
    );
    let smtp = smtp.build().expect("a valid set-up");
    smtp.send(&mail("job_1")).await.expect("the server takes it");
    smtp.send(&mail("job_2"))
        .await
        .expect("the server takes another one");
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    let first = mails.iter().find(|mail| mail.contains("<job_1@example.org>"));
    let first = first.expect("the mail bears its id");
    assert!(first.contains("Subject: =?utf-8?b?R3LDvMOfZQ==?=\n"), "{first}");
    let first = unfolded(first);
    for line in [
        "<no-reply@example.org>\nTo: jane@example.com",
        "Hello J=C3=A4ne,",
        "\n.a line that begins with a dot\n",
        "https://example.com/?token=t0k3n",
    ] {
        assert!(first.contains(line), "{line:?} in {first}");
    }
}

#[tokio::test]
async fn tls_is_used_as_the_url_says_and_only_with_a_certificate_that_holds() {
    for (secrecy, scheme) in [(Secrecy::StartTls, "smtp"), (Secrecy::Implicit, "smtps")] {
        let Some(server) = Server::start(secrecy).await else {
            return;
        };
        let url = || format!("{scheme}://127.0.0.1:{}", server.port).into();
        let trusting = Smtp::builder(url(), sender()).with_root_certificate(&*server.certificate);
        let trusting = trusting.build().expect("a valid set-up");
        trusting.send(&mail("job_1")).await.expect("the server takes it");
        assert_eq!(server.mails().len(), 1, "{scheme}");
        let wary = Smtp::builder(url(), sender()).build().expect("a valid set-up");
        wary.send(&mail("job_2"))
            .await
            .expect_err("nobody knows the certificate");
        assert_eq!(server.mails().len(), 1, "{scheme}");
    }
}

#[tokio::test]
async fn a_server_that_wants_tls_gets_no_mail_without() {
    let Some(server) = Server::start(Secrecy::StartTls).await else {
        return;
    };
    let smtp = Smtp::builder(
        format!("smtp://127.0.0.1:{}?tls=none", server.port).into(),
        sender(),
    );
    let error = smtp.build().expect("a valid set-up").send(&mail("job_1")).await;
    let error = error.expect_err("530 Must issue a STARTTLS command first");
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn in_the_outbox_a_mail_is_one_file_however_often_it_is_sent() {
    let folder = Folder::new();
    let outbox = Outbox::new(folder.0.join("outbox"), sender());
    outbox.send(&mail("job_1")).await.expect("it is written");
    outbox.send(&mail("job_1")).await.expect("it is written again");
    outbox.send(&mail("job_2")).await.expect("another one is written");
    let files = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .expect("a folder")
            .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(files(outbox.folder()), ["job_1.eml", "job_2.eml"]);
    let text = fs::read_to_string(outbox.folder().join("job_1.eml")).expect("a mail");
    assert!(
        unfolded(&text.replace("\r\n", "\n")).contains("token=t0k3n"),
        "{text}"
    );
}

#[tokio::test]
async fn an_outbox_that_cannot_be_written_to_has_not_taken_the_mail() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    fs::write(&file, "").expect("a file");
    let error = Outbox::new(file, sender()).send(&mail("job_1")).await;
    let error = error.expect_err("a file is no folder");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}
