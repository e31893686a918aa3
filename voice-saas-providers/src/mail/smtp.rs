//! Mail over SMTP (RFC 5321).

use std::{fmt, io, net::IpAddr, sync::OnceLock, time::Duration};

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    transport::smtp::{
        self, PoolConfig,
        client::{Certificate, Tls, TlsParameters},
    },
};
use url::{Host, Url};
use voice_saas_core::{
    provider::{
        ErrorKind, ProviderError, ProviderName,
        mail::{Mailer, OutgoingMail},
    },
    secret::{ExposeSecret, SecretString},
};

use super::{
    Sender,
    message::{self, OPERATION},
};

/// The name under which it is known.
pub const SMTP: ProviderName = ProviderName::new("smtp");

/// Relays close what is idle for long; one that was closed costs an attempt.
const IDLE: Duration = Duration::from_secs(30);

/// How the connection is kept from others' eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// TLS from the first byte.
    Implicit,
    /// TLS by `STARTTLS`; without it nothing is sent.
    StartTls,
    /// None, which a loopback address alone may have.
    Plain,
}

/// Builds an [`Smtp`].
pub struct SmtpBuilder {
    url: SecretString,
    sender: Sender,
    roots: Vec<Vec<u8>>,
    connections: u32,
    timeout: Duration,
}

impl fmt::Debug for SmtpBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpBuilder")
            .field("sender", &self.sender)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Sends mail through a relay. Cheap to share; connections are kept and used again.
pub struct Smtp {
    sender: Sender,
    host: String,
    secrecy: Secrecy,
    timeout: Duration,
    builder: smtp::AsyncSmtpTransportBuilder,
    pool: PoolConfig,
    /// Made with the first mail: it keeps house on the runtime.
    transport: OnceLock<AsyncSmtpTransport<Tokio1Executor>>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp")
            .field("host", &self.host)
            .field("secrecy", &self.secrecy)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

impl Smtp {
    /// The relay at this URL:
    ///
    /// | URL | |
    /// |---|---|
    /// | `smtps://user:password@relay.example.com` | TLS from the first byte, port 465 |
    /// | `smtp://user:password@relay.example.com` | `STARTTLS`, without which nothing is sent; port 587 |
    /// | `smtp://127.0.0.1:2525?tls=none` | in the clear, to a loopback address alone |
    ///
    /// User and password are percent-encoded, and may be left out.
    pub fn builder(url: SecretString, sender: Sender) -> SmtpBuilder {
        SmtpBuilder {
            url,
            sender,
            roots: Vec::new(),
            connections: 4,
            timeout: Duration::from_secs(30),
        }
    }
}

impl SmtpBuilder {
    /// Trusts this certificate (DER) beside those that browsers trust: for a relay of one's own.
    #[must_use]
    pub fn with_root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(der.into());
        self
    }

    /// How many connections may be open, by default 4.
    #[must_use]
    pub fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long one mail may take, from connecting to the relay's last word, by default half a minute.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Puts it together, without asking the network.
    ///
    /// # Errors
    /// `Invalid` when the URL is none of those above, or a certificate cannot be read.
    pub fn build(self) -> Result<Smtp, ProviderError> {
        let wrong =
            |detail| ProviderError::new(SMTP, "be configured", ErrorKind::Invalid).with_detail(detail);
        let mut url =
            Url::parse(self.url.expose_secret()).map_err(|_| wrong("the relay's address is no URL"))?;
        let secrecy = secrecy(&url).map_err(wrong)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        url.set_query(match secrecy {
            Secrecy::StartTls => Some("tls=required"),
            Secrecy::Implicit | Secrecy::Plain => None,
        });
        if secrecy == Secrecy::StartTls && url.port().is_none() {
            url.set_port(Some(587))
                .map_err(|()| wrong("the relay's URL takes no port"))?;
        }
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())
            .map_err(|_| wrong("the relay's URL cannot be used"))?
            .timeout(Some(self.timeout));
        if !self.roots.is_empty() && secrecy != Secrecy::Plain {
            let mut tls = TlsParameters::builder(host.clone());
            for root in self.roots {
                let root = Certificate::from_der(root).map_err(|_| wrong("a certificate cannot be read"))?;
                tls = tls.add_root_certificate(root);
            }
            let tls = tls
                .build_rustls()
                .map_err(|_| wrong("no TLS client can be made of the certificates"))?;
            builder = builder.tls(match secrecy {
                Secrecy::Implicit => Tls::Wrapper(tls),
                Secrecy::StartTls | Secrecy::Plain => Tls::Required(tls),
            });
        }
        let pool = PoolConfig::new().max_size(self.connections).idle_timeout(IDLE);
        Ok(Smtp {
            sender: self.sender,
            host,
            secrecy,
            timeout: self.timeout,
            builder,
            pool,
            transport: OnceLock::new(),
        })
    }
}

fn secrecy(url: &Url) -> Result<Secrecy, &'static str> {
    let is_loopback = match url.host() {
        None => return Err("the relay's URL names no host"),
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
    };
    match (url.scheme(), url.query()) {
        ("smtps", None) => Ok(Secrecy::Implicit),
        ("smtp", None | Some("tls=required")) => Ok(Secrecy::StartTls),
        ("smtp", Some("tls=none")) if is_loopback => Ok(Secrecy::Plain),
        ("smtp", Some("tls=none")) => Err("mail goes in the clear to a loopback address alone"),
        ("smtp" | "smtps", _) => Err("of the relay's URL, the query may be tls=required or tls=none"),
        _ => Err("the relay's URL must begin with smtp:// or smtps://"),
    }
}

#[async_trait]
impl Mailer for Smtp {
    fn name(&self) -> ProviderName {
        SMTP
    }

    async fn send(&self, mail: &OutgoingMail) -> Result<(), ProviderError> {
        let message = message::build(SMTP, &self.sender, mail)?;
        let transport = self
            .transport
            .get_or_init(|| self.builder.clone().pool_config(self.pool.clone()).build());
        match tokio::time::timeout(self.timeout, transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(ProviderError::new(SMTP, OPERATION, ErrorKind::TimedOut)),
        }
    }
}

/// What a relay's refusal means. Its own words name people, so that only its code is kept.
fn failure(error: &smtp::Error) -> ProviderError {
    let Some(code) = error.status() else {
        return ProviderError::new(SMTP, OPERATION, silent(error)).with_detail(silent_detail(error));
    };
    let number = u16::from(code);
    let kind = match number {
        // It was not taken, and may be another time. Among them 454, which says that credentials cannot be checked now.
        400..=499 => ErrorKind::RateLimited { retry_after: None },
        530 | 534 | 535 | 538 => ErrorKind::Unauthorized,
        550 | 551 | 553 => ErrorKind::NotFound,
        _ => ErrorKind::Forbidden,
    };
    ProviderError::new(SMTP, OPERATION, kind).with_detail(format!("the relay answered {number}"))
}

/// What no answer of the relay's says.
fn silent(error: &smtp::Error) -> ErrorKind {
    if error.is_timeout() {
        ErrorKind::TimedOut
    } else if error.is_client() || error.is_tls() {
        // We would not go on: no TLS, or no way to log in.
        ErrorKind::Unauthorized
    } else if io_error(error).is_some_and(never_connected) {
        ErrorKind::Unreachable
    } else {
        ErrorKind::Interrupted
    }
}

fn silent_detail(error: &smtp::Error) -> &'static str {
    if error.is_client() {
        "the relay offers no TLS, or no way to log in that we know"
    } else if error.is_tls() {
        "the relay's certificate does not hold"
    } else {
        "the relay did not answer as SMTP says"
    }
}

fn io_error(error: &smtp::Error) -> Option<io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

fn never_connected(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(
        kind,
        AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable
    )
}

#[cfg(test)]
mod tests;
