//! A small HTTP client for the demo and for asking a remote emulator.

use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::Failure;

/// A client with limits.
pub(crate) fn client() -> Result<reqwest::Client, Failure> {
    Ok(reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(30))
        .no_proxy()
        .build()?)
}

/// Reads a JSON answer.
pub(crate) async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: Url) -> Result<T, Failure> {
    send(client.get(url)).await
}

/// Reads a JSON answer to somebody's request.
pub(crate) async fn get_as<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: Url,
    token: &str,
) -> Result<T, Failure> {
    send(client.get(url).bearer_auth(token)).await
}

/// Sends JSON and reads the answer.
pub(crate) async fn post<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: Url,
    token: Option<&str>,
    body: &impl Serialize,
) -> Result<T, Failure> {
    let mut request = client.post(url).json(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    send(request).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo is a client of the API, not a provider's adapter"
)]
async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, Failure> {
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    let body = if body.is_empty() { b"null" } else { &body[..] };
    Ok(serde_json::from_slice(body)?)
}
