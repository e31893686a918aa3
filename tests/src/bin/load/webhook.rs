//! The carrier's voice webhook, and what it is answered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use url::form_urlencoded;
use voice_saas_providers::twilio::sign_for_tests;

use crate::world::{ACCOUNT_SID, AUTH_TOKEN, Dice, PUBLIC_URL, VOICE_PATH, number};

/// Makes webhooks of calls that nobody made before, to random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Forge {
    calls: Arc<AtomicU64>,
    seed: u64,
    dice: Dice,
    numbers: u32,
}

/// A webhook as bytes for the wire, and the call that it is about.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) call_sid: String,
    pub(crate) request: Vec<u8>,
}

impl Forge {
    /// Calls to the first `numbers` numbers. Other seeds make other calls; clones share what was made.
    pub(crate) fn new(seed: u64, numbers: u32) -> Self {
        Self {
            calls: Arc::default(),
            seed,
            dice: Dice::new(seed),
            numbers,
        }
    }

    /// The same calls with dice of its own.
    pub(crate) fn worker(&self, worker: u64) -> Self {
        Self {
            dice: Dice::new(self.seed ^ worker.wrapping_mul(0x2545_f491_4f6c_dd1d)),
            ..self.clone()
        }
    }

    pub(crate) fn next(&mut self) -> Webhook {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        // Two sequences without repeats: as scattered over an index as the carrier's own ids are.
        let high = Dice::new(self.seed.wrapping_add(call)).roll();
        let low = Dice::new(high ^ call).roll();
        let call_sid = format!("CA{high:016x}{low:016x}");
        let to = number(self.dice.below(self.numbers));
        let from = format!("+1646{:07}", self.dice.below(10_000_000));
        let request = request(&call_sid, &from, &to);
        Webhook { call_sid, request }
    }
}

/// The parameters of a call in the United States (page `voice/twiml#request-parameters`).
fn request(call_sid: &str, from: &str, to: &str) -> Vec<u8> {
    let params = [
        ("AccountSid", ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", call_sid),
        ("CallStatus", "ringing"),
        ("Called", to),
        ("CalledCity", "NEWARK"),
        ("CalledCountry", "US"),
        ("CalledState", "NJ"),
        ("CalledZip", "07102"),
        ("Caller", from),
        ("CallerCity", "NEW YORK"),
        ("CallerCountry", "US"),
        ("CallerState", "NY"),
        ("CallerZip", "10001"),
        ("Direction", "inbound"),
        ("From", from),
        ("FromCity", "NEW YORK"),
        ("FromCountry", "US"),
        ("FromState", "NY"),
        ("FromZip", "10001"),
        ("StirVerstat", "TN-Validation-Passed-A"),
        ("To", to),
        ("ToCity", "NEWARK"),
        ("ToCountry", "US"),
        ("ToState", "NJ"),
        ("ToZip", "07102"),
    ];
    let signature = sign_for_tests(AUTH_TOKEN, &format!("{PUBLIC_URL}{VOICE_PATH}"), &params);
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(params)
        .finish();
    format!(
        "POST {VOICE_PATH} HTTP/1.1\r\nhost: voice.example.com\r\nuser-agent: TwilioProxy/1.1\r\naccept: \
         */*\r\ncontent-type: application/x-www-form-urlencoded; charset=UTF-8\r\nx-twilio-signature: \
         {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The path of the media socket that an answer connects the call to; `None` for any other answer.
pub(crate) fn media_path(twiml: &str) -> Option<&str> {
    let (_, connect) = twiml.split_once("<Connect")?;
    let (_, stream) = connect.split_once("<Stream url=\"")?;
    let (url, _) = stream.split_once('"')?;
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|slash| &rest[slash..])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use voice_saas_core::provider::telephony::{
        CallPlan, TelephonyEvent, TelephonyProvider, WebhookKind, WebhookRequest,
    };

    use super::*;
    use crate::{http1::Head, serve::twilio};

    #[test]
    fn the_adapter_believes_a_forged_webhook_and_its_answer_is_understood() {
        let twilio = twilio().unwrap();
        let adapter = twilio.webhook().unwrap();
        let webhook = Forge::new(1, 10).next();
        let head = Head::read(&webhook.request).unwrap().unwrap();
        let body = &webhook.request[head.len..];
        let mut headers = http::HeaderMap::new();
        for name in ["x-twilio-signature", "content-type"] {
            headers.insert(name, head.header(name).unwrap().parse().unwrap());
        }
        let arrived = WebhookRequest {
            method: &http::Method::POST,
            path_and_query: VOICE_PATH,
            headers: &headers,
            body,
        };
        let TelephonyEvent::Incoming(call) = adapter.receive(WebhookKind::Voice, &arrived).unwrap() else {
            panic!("another event");
        };
        assert_eq!(call.id.as_str(), webhook.call_sid);
        assert_eq!(head.header("content-length"), Some(&*body.len().to_string()));

        let plan = CallPlan::Bridge {
            media_url: "wss://voice.example.com/media/twilio/abc".parse().unwrap(),
            then: "https://voice.example.com/next".parse().unwrap(),
        };
        assert_eq!(media_path(&adapter.answer(&plan).body), Some("/media/twilio/abc"));
        assert_eq!(media_path(&adapter.answer(&CallPlan::HangUp).body), None);
    }

    #[test]
    fn no_call_is_made_twice_whoever_makes_it() {
        let forge = Forge::new(1, 10);
        let mut workers = [forge.worker(1), forge.worker(2)];
        let sids: HashSet<String> = (0..1_000).map(|turn| workers[turn % 2].next().call_sid).collect();
        assert_eq!(sids.len(), 1_000);
        assert!(sids.iter().all(|sid| sid.len() == 34));
    }
}
