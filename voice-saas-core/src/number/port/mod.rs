//! Numbers that move in from other carriers: ordered once, followed for days to weeks, put into service when they are
//! here.
//!
//! A port is written down, and its numbers are held for the tenant, before the carrier hears of it. A job submits it
//! and asks for its state from then on; a saga takes over when the numbers have arrived.

mod arrive;
mod cancel;
mod follow;
mod order;
mod repo;
mod service;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::{
    id::{AgentId, JobId, NumberId, PortId, SagaId},
    phone::E164,
    provider::telephony::{PortRequest, PortRequestId, PortState, ProviderSubaccountId},
};

pub use cancel::Canceled;
pub use order::{NewPort, SealedOrder};
pub use repo::PortRepo;
pub use service::{PortError, Ports};

pub(crate) use arrive::ArrivedNumbers;
pub(crate) use cancel::end_for_off_boarding;
pub(crate) use follow::FollowPort;

/// Where a port stands: `ordered → submitted → waiting_for_signature → in_progress → arriving → completed`, with
/// `action_required` on the way, and the ends `canceled`, `expired` and `refused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PortStatus {
    /// Written down; the carrier may not have heard of it yet.
    Ordered,
    /// Submitted, and looked at by the gaining carrier.
    Submitted,
    /// The customer's representative has a letter to sign.
    WaitingForSignature,
    /// With the losing carrier.
    InProgress,
    /// The losing carrier refuses a number; its reason is the number's. The way on is to cancel, and to order again.
    ActionRequired,
    /// The numbers are the carrier's, and are being put into service.
    Arriving,
    /// The numbers are in service.
    Completed,
    /// Given up, by us or by one of the carriers.
    Canceled,
    /// The letter was not signed in time.
    Expired,
    /// The gaining carrier did not accept the order.
    Refused,
}

impl PortStatus {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Ordered,
        Self::Submitted,
        Self::WaitingForSignature,
        Self::InProgress,
        Self::ActionRequired,
        Self::Arriving,
        Self::Completed,
        Self::Canceled,
        Self::Expired,
        Self::Refused,
    ];

    /// Whether nothing follows.
    pub const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Canceled | Self::Expired | Self::Refused
        )
    }

    /// Whether it is still up to carriers and people: it is neither over, nor have its numbers arrived.
    pub const fn is_open(self) -> bool {
        !self.is_over() && !matches!(self, Self::Arriving)
    }

    /// What the carrier's state means for us; a word that is not known changes nothing.
    const fn after(self, state: PortState) -> Self {
        match state {
            PortState::Submitted => Self::Submitted,
            PortState::WaitingForSignature => Self::WaitingForSignature,
            PortState::InProgress => Self::InProgress,
            PortState::ActionRequired => Self::ActionRequired,
            PortState::Completed => Self::Arriving,
            PortState::Canceled => Self::Canceled,
            PortState::Expired => Self::Expired,
            PortState::Unknown => match self {
                Self::Ordered => Self::Submitted,
                known => known,
            },
        }
    }
}

/// One number of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortLine {
    /// The number.
    pub number: E164,
    /// Its row, which holds it for the tenant.
    pub id: NumberId,
    /// How far it has come, in the carrier's words.
    pub status: Option<String>,
    /// Why it cannot move, or why the losing carrier refused, in the carrier's words.
    pub reason: Option<String>,
    /// When it moves, once the losing carrier has said so.
    pub port_date: Option<Timestamp>,
}

impl PortLine {
    /// A number of which nothing was heard yet.
    pub fn new(number: E164, id: NumberId) -> Self {
        Self {
            number,
            id,
            status: None,
            reason: None,
            port_date: None,
        }
    }
}

/// An order to move numbers in, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// Our id.
    pub id: PortId,
    /// The gaining carrier.
    pub provider: String,
    /// The tenant's own account there that the numbers move to; `None` = the operator's.
    pub account: Option<ProviderSubaccountId>,
    /// The numbers.
    pub lines: Vec<PortLine>,
    /// The agent that is to answer them.
    pub agent: Option<AgentId>,
    /// The day that was wished for.
    pub target_date: Option<Date>,
    /// Where it stands.
    pub status: PortStatus,
    /// The same in the carrier's words.
    pub carrier_status: Option<String>,
    /// Where the letter is signed.
    pub signature_url: Option<String>,
    /// Why it was given up or refused.
    pub reason: Option<String>,
    /// The carrier's id, once it was submitted.
    pub request: Option<PortRequestId>,
    /// What the carrier is to be told; erased once it was, and when the port is over.
    pub order: Option<SealedOrder>,
    /// How often its submission was begun. More than none means that the carrier may have it already.
    pub attempts: u16,
    /// Whether it is to be canceled.
    pub cancel: bool,
    /// The job that follows it.
    pub job: JobId,
    /// The work that puts its numbers into service, which is also their tag at the carrier.
    pub saga: SagaId,
    /// When the carrier was asked last.
    pub checked_at: Option<Timestamp>,
    /// Since when the carrier has it.
    pub submitted_at: Option<Timestamp>,
    /// Since when it is over.
    pub ended_at: Option<Timestamp>,
    /// Since when it is known here.
    pub created_at: Timestamp,
    /// Grows with every write; who read an old version writes in vain.
    pub version: i64,
}

impl Port {
    /// A port that the carrier has not heard of.
    pub fn ordered(
        id: PortId,
        provider: impl Into<String>,
        lines: Vec<PortLine>,
        order: SealedOrder,
        job: JobId,
        saga: SagaId,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            provider: provider.into(),
            account: None,
            lines,
            agent: None,
            target_date: None,
            status: PortStatus::Ordered,
            carrier_status: None,
            signature_url: None,
            reason: None,
            request: None,
            order: Some(order),
            attempts: 0,
            cancel: false,
            job,
            saga,
            checked_at: None,
            submitted_at: None,
            ended_at: None,
            created_at,
            version: 0,
        }
    }

    /// Ends it. What is left of the order is erased.
    fn end(&mut self, status: PortStatus, reason: Option<String>, now: Timestamp) {
        self.status = status;
        self.reason = reason.or(self.reason.take());
        self.order = None;
        self.cancel = false;
        self.signature_url = None;
        self.ended_at = Some(now);
    }

    /// Writes down what the carrier says. Whether anything that a tenant sees has changed.
    fn hear(&mut self, request: PortRequest, now: Timestamp) -> bool {
        let before = self.clone();
        self.checked_at = Some(now);
        self.submitted_at.get_or_insert(now);
        self.request = Some(request.id);
        self.order = None;
        self.status = self.status.after(request.state);
        self.carrier_status = Some(request.status);
        self.signature_url = request.signature_url;
        self.reason = request.reason;
        for heard in request.numbers {
            if let Some(line) = self.lines.iter_mut().find(|line| line.number == heard.number) {
                line.status = Some(heard.status);
                line.reason = heard.reason;
                line.port_date = heard.port_date;
            }
        }
        if self.status.is_over() {
            self.end(self.status, None, now);
        }
        before.lines != self.lines
            || (
                before.status,
                before.carrier_status,
                before.signature_url,
                before.reason,
            ) != (
                self.status,
                self.carrier_status.clone(),
                self.signature_url.clone(),
                self.reason.clone(),
            )
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::provider::telephony::PortedNumber;

    fn port() -> Port {
        let number = "+16175551212".parse().unwrap();
        let line = PortLine::new(number, NumberId::from_uuid(Uuid::from_u128(1)));
        Port::ordered(
            PortId::from_uuid(Uuid::from_u128(2)),
            "twilio",
            vec![line],
            SealedOrder::from_bytes(vec![1]),
            JobId::from_uuid(Uuid::from_u128(3)),
            SagaId::from_uuid(Uuid::from_u128(4)),
            Timestamp::UNIX_EPOCH,
        )
    }

    fn heard(state: PortState, reason: Option<&str>) -> PortRequest {
        let number = PortedNumber::new("+16175551212".parse().unwrap(), "Rejected")
            .with_outcome(reason.map(str::to_owned), None);
        PortRequest::new(PortRequestId::new("KW1"), state, "Action Required", vec![number])
    }

    #[test]
    fn what_the_carrier_says_is_news_once_and_erases_the_order() {
        let (mut port, now) = (port(), Timestamp::UNIX_EPOCH);
        assert!(port.hear(heard(PortState::ActionRequired, Some("INVALID_PIN")), now));
        assert_eq!(
            (port.status, port.order.is_none()),
            (PortStatus::ActionRequired, true)
        );
        assert_eq!(port.lines[0].reason.as_deref(), Some("INVALID_PIN"));
        assert!(!port.hear(heard(PortState::ActionRequired, Some("INVALID_PIN")), now));
        assert!(port.hear(heard(PortState::ActionRequired, None), now));
    }

    #[test]
    fn a_word_that_is_not_known_leaves_the_port_where_it_is() {
        let (mut port, now) = (port(), Timestamp::UNIX_EPOCH);
        port.hear(heard(PortState::Unknown, None), now);
        assert_eq!(port.status, PortStatus::Submitted);
        port.hear(heard(PortState::InProgress, None), now);
        port.hear(heard(PortState::Unknown, None), now);
        assert_eq!(port.status, PortStatus::InProgress);
    }

    #[test]
    fn a_port_is_open_arriving_or_over() {
        for status in PortStatus::ALL {
            let arriving = status == PortStatus::Arriving;
            let ways = [status.is_open(), arriving, status.is_over()];
            assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{status:?}");
        }
    }

    #[test]
    fn an_end_is_dated_and_keeps_the_reason() {
        let (mut port, now) = (port(), Timestamp::UNIX_EPOCH);
        let over = heard(PortState::Expired, None).with_details(None, Some("not signed".into()));
        assert!(port.hear(over, now));
        assert_eq!(
            (port.status, port.ended_at, port.reason.as_deref()),
            (PortStatus::Expired, Some(now), Some("not signed"))
        );
    }
}
