//! Faults on demand: what goes wrong, at which operation, how many times.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// A provider that the emulator plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Provider {
    /// Numbers, calls, webhooks and media streams.
    Twilio,
    /// Voice agents.
    ElevenLabs,
    /// SIP trunks, rooms, and calls in them.
    LiveKit,
    /// Numbers, calls between telephones, and pushes.
    Knowlarity,
    /// Subscriptions in an app, and notifications of them.
    #[serde(rename = "app_store")]
    AppStore,
    /// Customers, subscriptions and invoices.
    Stripe,
}

impl Provider {
    /// Every provider that the emulator plays.
    pub const ALL: [Self; 6] = [
        Self::Twilio,
        Self::ElevenLabs,
        Self::LiveKit,
        Self::Knowlarity,
        Self::Stripe,
        Self::AppStore,
    ];

    /// The name used in control requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::ElevenLabs => "elevenlabs",
            Self::LiveKit => "livekit",
            Self::Knowlarity => "knowlarity",
            Self::AppStore => "app_store",
            Self::Stripe => "stripe",
        }
    }
}

macro_rules! operations {
    ($($variant:ident = $provider:ident $name:literal $group:ident $doc:literal),+ $(,)?) => {
        /// Something a provider does that can be made to fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Operation { $(#[doc = $doc] $variant,)+ }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The provider whose operation this is.
            #[must_use]
            pub fn provider(self) -> Provider {
                match self { $(Self::$variant => Provider::$provider),+ }
            }

            /// The name used in control requests; unique within the provider.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The faults that make sense here.
            #[must_use]
            pub fn faults(self) -> &'static [FaultKind] {
                match self { $(Self::$variant => $group),+ }
            }
        }
    };
}

const REQUEST: &[FaultKind] = &[
    FaultKind::AnswerLost,
    FaultKind::RateLimited,
    FaultKind::ServerError,
    FaultKind::Slow,
    FaultKind::Refused,
    FaultKind::HoldBefore,
    FaultKind::HoldAfter,
    FaultKind::HoldDetached,
];
const QUESTION: &[FaultKind] = &[
    FaultKind::Slow,
    FaultKind::Refused,
    FaultKind::Duplicate,
    FaultKind::BadSignature,
];
const NOTICE: &[FaultKind] = &[
    FaultKind::Slow,
    FaultKind::Refused,
    FaultKind::Duplicate,
    FaultKind::Reorder,
    FaultKind::BadSignature,
];
const CLIENT_SOCKET: &[FaultKind] = &[
    FaultKind::Slow,
    FaultKind::Refused,
    FaultKind::BadSignature,
    FaultKind::DropSocket,
];
const SERVER_SOCKET: &[FaultKind] = &[
    FaultKind::RateLimited,
    FaultKind::ServerError,
    FaultKind::Slow,
    FaultKind::Refused,
    FaultKind::DropSocket,
];

operations! {
    SearchNumbers = Twilio "search_numbers" REQUEST "`GET AvailablePhoneNumbers/{country}/{type}`.",
    BuyNumber = Twilio "buy_number" REQUEST "`POST IncomingPhoneNumbers`.",
    ListNumbers = Twilio "list_numbers" REQUEST "`GET IncomingPhoneNumbers`.",
    FetchNumber = Twilio "fetch_number" REQUEST "`GET IncomingPhoneNumbers/{sid}`.",
    UpdateNumber = Twilio "update_number" REQUEST "`POST IncomingPhoneNumbers/{sid}`.",
    ReleaseNumber = Twilio "release_number" REQUEST "`DELETE IncomingPhoneNumbers/{sid}`.",
    CreateCall = Twilio "create_call" REQUEST "`POST Calls`.",
    ListCalls = Twilio "list_calls" REQUEST "`GET Calls`.",
    FetchCall = Twilio "fetch_call" REQUEST "`GET Calls/{sid}`.",
    UpdateCall = Twilio "update_call" REQUEST "`POST Calls/{sid}`.",
    ListTrunks = Twilio "list_trunks" REQUEST "`GET Trunks`.",
    CreateTrunk = Twilio "create_trunk" REQUEST "`POST Trunks`.",
    DeleteTrunk = Twilio "delete_trunk" REQUEST "`DELETE Trunks/{sid}`.",
    ListTrunkParts = Twilio "list_trunk_parts" REQUEST "`GET` of a list below a trunk.",
    SetOriginationUrl = Twilio "set_origination_url" REQUEST "`POST Trunks/{sid}/OriginationUrls`, or one of them.",
    AttachCredentialList = Twilio "attach_credential_list" REQUEST "`POST Trunks/{sid}/CredentialLists`.",
    AttachNumber = Twilio "attach_number" REQUEST "`POST Trunks/{sid}/PhoneNumbers`.",
    DetachTrunkPart = Twilio "detach_trunk_part" REQUEST "`DELETE` of something below a trunk.",
    ListCredentialLists = Twilio "list_credential_lists" REQUEST "`GET SIP/CredentialLists`.",
    CreateCredentialList = Twilio "create_credential_list" REQUEST "`POST SIP/CredentialLists`.",
    DeleteCredentialList = Twilio "delete_credential_list" REQUEST "`DELETE SIP/CredentialLists/{sid}`.",
    ListCredentials = Twilio "list_credentials" REQUEST "`GET SIP/CredentialLists/{sid}/Credentials`.",
    SetCredential = Twilio "set_credential" REQUEST "`POST SIP/CredentialLists/{sid}/Credentials`, or one of them.",
    ListSubaccounts = Twilio "list_subaccounts" REQUEST "`GET Accounts`.",
    CreateSubaccount = Twilio "create_subaccount" REQUEST "`POST Accounts`.",
    UpdateSubaccount = Twilio "update_subaccount" REQUEST "`POST Accounts/{sid}`.",
    FetchPrices = Twilio "fetch_prices" REQUEST "`GET PhoneNumbers/Countries/{country}` of the prices.",
    ListRegulations = Twilio "list_regulations" REQUEST "`GET RegulatoryCompliance/Regulations`.",
    CheckPortability = Twilio "check_portability" REQUEST "`GET Porting/Portability/PhoneNumber/{number}`.",
    CreatePortIn = Twilio "create_port_in" REQUEST "`POST Porting/PortIn`.",
    FetchPortIn = Twilio "fetch_port_in" REQUEST "`GET Porting/PortIn/{sid}`.",
    ListPortIns = Twilio "list_port_ins" REQUEST "`GET Porting/PortIn/PortInRequests`.",
    CancelPortIn = Twilio "cancel_port_in" REQUEST "`DELETE Porting/PortIn/{sid}`.",
    VoiceWebhook = Twilio "voice_webhook" QUESTION "The request for TwiML.",
    StatusWebhook = Twilio "status_webhook" NOTICE "A call status callback.",
    MediaStream = Twilio "media_stream" CLIENT_SOCKET "The media socket that Twilio opens.",
    CreateAgent = ElevenLabs "create_agent" REQUEST "`POST agents/create`.",
    GetAgent = ElevenLabs "get_agent" REQUEST "`GET agents/{id}`.",
    UpdateAgent = ElevenLabs "update_agent" REQUEST "`PATCH agents/{id}`.",
    DeleteAgent = ElevenLabs "delete_agent" REQUEST "`DELETE agents/{id}`.",
    ListAgents = ElevenLabs "list_agents" REQUEST "`GET agents`.",
    RegisterCall = ElevenLabs "register_call" REQUEST "`POST twilio/register-call`.",
    SignedUrl = ElevenLabs "signed_url" REQUEST "`GET conversation/get-signed-url`.",
    ConversationSocket = ElevenLabs "conversation_socket" SERVER_SOCKET "The agent socket.",
    GetConversation = ElevenLabs "get_conversation" REQUEST "`GET conversations/{id}`.",
    ListConversations = ElevenLabs "list_conversations" REQUEST "`GET conversations`.",
    PostCallWebhook = ElevenLabs "post_call_webhook" NOTICE "The post-call webhook.",
    CreateInboundTrunk = LiveKit "create_inbound_trunk" REQUEST "`SIP/CreateSIPInboundTrunk`.",
    ListInboundTrunks = LiveKit "list_inbound_trunks" REQUEST "`SIP/ListSIPInboundTrunk`.",
    CreateOutboundTrunk = LiveKit "create_outbound_trunk" REQUEST "`SIP/CreateSIPOutboundTrunk`.",
    ListOutboundTrunks = LiveKit "list_outbound_trunks" REQUEST "`SIP/ListSIPOutboundTrunk`.",
    UpdateSipTrunk = LiveKit "update_sip_trunk" REQUEST "`SIP/UpdateSIP…Trunk`.",
    DeleteSipTrunk = LiveKit "delete_sip_trunk" REQUEST "`SIP/DeleteSIPTrunk`.",
    CreateDispatchRule = LiveKit "create_dispatch_rule" REQUEST "`SIP/CreateSIPDispatchRule`.",
    UpdateDispatchRule = LiveKit "update_dispatch_rule" REQUEST "`SIP/UpdateSIPDispatchRule`.",
    ListDispatchRules = LiveKit "list_dispatch_rules" REQUEST "`SIP/ListSIPDispatchRule`.",
    DeleteDispatchRule = LiveKit "delete_dispatch_rule" REQUEST "`SIP/DeleteSIPDispatchRule`.",
    Dial = LiveKit "dial" REQUEST "`SIP/CreateSIPParticipant`.",
    CreateRoom = LiveKit "create_room" REQUEST "`RoomService/CreateRoom`.",
    ListRooms = LiveKit "list_rooms" REQUEST "`RoomService/ListRooms`.",
    DeleteRoom = LiveKit "delete_room" REQUEST "`RoomService/DeleteRoom`.",
    ListParticipants = LiveKit "list_participants" REQUEST "`RoomService/ListParticipants`.",
    GetParticipant = LiveKit "get_participant" REQUEST "`RoomService/GetParticipant`.",
    RemoveParticipant = LiveKit "remove_participant" REQUEST "`RoomService/RemoveParticipant`.",
    CreateDispatch = LiveKit "create_dispatch" REQUEST "`AgentDispatchService/CreateDispatch`.",
    ListDispatches = LiveKit "list_dispatches" REQUEST "`AgentDispatchService/ListDispatch`.",
    DeleteDispatch = LiveKit "delete_dispatch" REQUEST "`AgentDispatchService/DeleteDispatch`.",
    RoomWebhook = LiveKit "room_webhook" NOTICE "The webhook about rooms and participants.",
    ListCircles = Knowlarity "list_circles" REQUEST "`GET numbers/Circle`.",
    SearchPlanNumbers = Knowlarity "search_numbers" REQUEST "`GET numbers/AvailablePhoneNumbers`.",
    ListHeldNumbers = Knowlarity "list_numbers" REQUEST "`GET numbers/`.",
    AllocateNumber = Knowlarity "allocate_number" REQUEST "`POST numbers/`.",
    ListPlans = Knowlarity "list_plans" REQUEST "`GET plans/`.",
    MakeCall = Knowlarity "make_call" REQUEST "`POST call/makecall`.",
    ReadCallLog = Knowlarity "read_call_log" REQUEST "`GET calllog`.",
    RegisterNumbers = Knowlarity "register_numbers" REQUEST "`POST notifications/`.",
    LiveStream = Knowlarity "live_stream" SERVER_SOCKET "The stream of live events.",
    UrlPush = Knowlarity "url_push" NOTICE "The push of a call that is over; nothing but its address is a signature.",
    ReadSubscriptions = AppStore "read_subscriptions" REQUEST "`GET v1/subscriptions/{id}`.",
    ReadTransactions = AppStore "read_transactions" REQUEST "`GET v2/history/{id}`.",
    ReadTransaction = AppStore "read_transaction" REQUEST "`GET v1/transactions/{id}`.",
    SetAccountToken = AppStore "set_account_token" REQUEST "`PUT v1/transactions/{id}/appAccountToken`.",
    ReadNotifications = AppStore "read_notifications" REQUEST "`POST v1/notifications/history`.",
    TestNotification = AppStore "test_notification" REQUEST "`POST v1/notifications/test`.",
    StoreNotification = AppStore "store_notification" NOTICE "The notification of what happened to a subscription.",
    CreateCustomer = Stripe "create_customer" REQUEST "`POST customers`.",
    ListCustomers = Stripe "list_customers" REQUEST "`GET customers`.",
    FetchCustomer = Stripe "fetch_customer" REQUEST "`GET customers/{id}`.",
    UpdateCustomer = Stripe "update_customer" REQUEST "`POST customers/{id}`.",
    DeleteCustomer = Stripe "delete_customer" REQUEST "`DELETE customers/{id}`.",
    ListCards = Stripe "list_cards" REQUEST "`GET customers/{id}/payment_methods`.",
    AttachCard = Stripe "attach_card" REQUEST "`POST payment_methods/{id}/attach`.",
    SetUpCard = Stripe "set_up_card" REQUEST "`POST setup_intents`.",
    ListPrices = Stripe "list_prices" REQUEST "`GET prices`.",
    CreateProduct = Stripe "create_product" REQUEST "`POST products`.",
    CreatePrice = Stripe "create_price" REQUEST "`POST prices`.",
    ListMeters = Stripe "list_meters" REQUEST "`GET billing/meters`.",
    CreateMeter = Stripe "create_meter" REQUEST "`POST billing/meters`.",
    ReportUsage = Stripe "report_usage" REQUEST "`POST billing/meter_events`.",
    CreateSubscription = Stripe "create_subscription" REQUEST "`POST subscriptions`.",
    ListSubscriptions = Stripe "list_subscriptions" REQUEST "`GET subscriptions`.",
    FetchSubscription = Stripe "fetch_subscription" REQUEST "`GET subscriptions/{id}`.",
    UpdateSubscription = Stripe "update_subscription" REQUEST "`POST subscriptions/{id}`.",
    CancelSubscription = Stripe "cancel_subscription" REQUEST "`DELETE subscriptions/{id}`.",
    ResumeSubscription = Stripe "resume_subscription" REQUEST "`POST subscriptions/{id}/resume`.",
    PreviewInvoice = Stripe "preview_invoice" REQUEST "`POST invoices/create_preview`.",
    ListInvoices = Stripe "list_invoices" REQUEST "`GET invoices`.",
    FetchInvoice = Stripe "fetch_invoice" REQUEST "`GET invoices/{id}`.",
    PayInvoice = Stripe "pay_invoice" REQUEST "`POST invoices/{id}/pay`.",
    CreateCheckout = Stripe "create_checkout" REQUEST "`POST checkout/sessions`.",
    FetchCheckout = Stripe "fetch_checkout" REQUEST "`GET checkout/sessions/{id}`.",
    ExpireCheckout = Stripe "expire_checkout" REQUEST "`POST checkout/sessions/{id}/expire`.",
    CreatePortal = Stripe "create_portal" REQUEST "`POST billing_portal/sessions`.",
    BillingWebhook = Stripe "webhook" NOTICE "The webhook about everything that happens.",
}

macro_rules! fault_kinds {
    ($($variant:ident = $name:literal $doc:literal),+ $(,)?) => {
        /// What goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum FaultKind { $(#[doc = $doc] $variant,)+ }

        impl FaultKind {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name used in control requests.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

fault_kinds! {
    AnswerLost = "answer_lost" "The operation takes effect; then the connection drops without an answer.",
    RateLimited = "rate_limited" "429 with the provider's body, and `Retry-After` when a delay is given; nothing is done.",
    ServerError = "server_error" "500; nothing is done.",
    Slow = "slow" "Everything works, after the delay.",
    Refused = "refused" "The connection closes (or, for a webhook, is never made) and nothing is done.",
    Duplicate = "duplicate" "The webhook is sent twice.",
    Reorder = "reorder" "The webhook is held back until after the next one.",
    BadSignature = "bad_signature" "The webhook or handshake is signed with a wrong key.",
    HoldBefore = "hold_before" "The request is held until it is released, and then handled; if who asked is gone, nothing is done.",
    HoldAfter = "hold_after" "The operation takes effect; its answer is held until it is released.",
    HoldDetached = "hold_detached" "As `hold_before`, but it takes effect then even if who asked is gone: it was on its way.",
    DropSocket = "drop_socket" "The socket drops in the middle of the call, without a close frame.",
}

/// One fault to inject: the next `times` uses of an operation go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    operation: Operation,
    kind: FaultKind,
    skip: u32,
    times: u32,
    delay: Option<Duration>,
}

impl Fault {
    /// The longest delay that a fault may ask for.
    pub const LONGEST_DELAY: Duration = Duration::from_mins(2);

    /// A fault that happens once. [`Emulator::inject`](super::Emulator::inject) refuses kinds that make no sense at
    /// the operation (see [`Operation::faults`]).
    #[must_use]
    pub fn new(operation: Operation, kind: FaultKind) -> Self {
        Self {
            operation,
            kind,
            skip: 0,
            times: 1,
            delay: None,
        }
    }

    /// Lets so many uses of the operation pass before.
    #[must_use]
    pub fn with_skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Lets the fault happen `times` times.
    #[must_use]
    pub fn with_times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// How long [`FaultKind::Slow`] waits, what `Retry-After` says, or when a socket drops.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    pub(crate) fn kind(&self) -> FaultKind {
        self.kind
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }
}

/// Why a fault was refused. The message lists what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No such provider.
    #[error("unknown provider; allowed: {}", names(Provider::ALL.iter().map(|it| it.name())))]
    UnknownProvider,
    /// The provider has no such operation.
    #[error("unknown operation; allowed for {}: {}", .0.name(), names(operations_of(*.0)))]
    UnknownOperation(Provider),
    /// No such fault, or one that makes no sense at this operation.
    #[error("fault not possible here; allowed for {}: {}", .0.name(), names(.0.faults().iter().map(|it| it.name())))]
    NotPossible(Operation),
    /// `times` is zero or absurd, or the delay is too long.
    #[error("times must be 1 to 1000000 and the delay at most 120000 ms")]
    OutOfRange,
    /// Too many faults wait already.
    #[error("at most 1000 faults can wait at once; clear them first")]
    TooMany,
}

fn operations_of(provider: Provider) -> impl Iterator<Item = &'static str> {
    Operation::ALL
        .iter()
        .filter(move |it| it.provider() == provider)
        .map(|it| it.name())
}

fn names(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Reads a fault by its names.
pub(crate) fn parse(provider: &str, operation: &str, kind: &str) -> Result<Fault, FaultError> {
    let provider = Provider::ALL
        .into_iter()
        .find(|it| it.name() == provider)
        .ok_or(FaultError::UnknownProvider)?;
    let operation = Operation::ALL
        .iter()
        .copied()
        .find(|it| it.provider() == provider && it.name() == operation)
        .ok_or(FaultError::UnknownOperation(provider))?;
    let kind = FaultKind::ALL.iter().copied().find(|it| it.name() == kind);
    let kind = kind.ok_or(FaultError::NotPossible(operation))?;
    Ok(Fault::new(operation, kind))
}

/// The faults that wait to happen, and the requests that are held.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    waiting: Mutex<Vec<Fault>>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    last: u64,
    requests: Vec<(u64, Operation)>,
    release: CancellationToken,
}

/// A request that is held; dropped when it was handled, or when who asked is gone.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    faults: &'a Faults,
    id: u64,
    release: CancellationToken,
}

impl Hold<'_> {
    /// Until requests are let go.
    pub(crate) async fn released(&self) {
        self.release.cancelled().await;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.faults.held_lock().requests.retain(|(id, _)| *id != self.id);
    }
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> Result<(), FaultError> {
        const MOST: usize = 1_000;
        if !fault.operation.faults().contains(&fault.kind) {
            return Err(FaultError::NotPossible(fault.operation));
        }
        let too_slow = fault.delay.is_some_and(|delay| delay > Fault::LONGEST_DELAY);
        if !(1..=1_000_000).contains(&fault.times) || too_slow {
            return Err(FaultError::OutOfRange);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST {
            return Err(FaultError::TooMany);
        }
        waiting.push(fault);
        Ok(())
    }

    pub(crate) fn clear(&self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.release();
    }

    fn held_lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a request until [`release`](Self::release).
    pub(crate) fn hold(&self, operation: Operation) -> Hold<'_> {
        let mut held = self.held_lock();
        held.last += 1;
        let id = held.last;
        held.requests.push((id, operation));
        Hold {
            faults: self,
            id,
            release: held.release.clone(),
        }
    }

    /// Lets go of the requests that are held now.
    pub(crate) fn release(&self) {
        std::mem::take(&mut self.held_lock().release).cancel();
    }

    /// The operations whose requests are held or being handled after that, oldest first.
    pub(crate) fn held(&self) -> Vec<Operation> {
        self.held_lock()
            .requests
            .iter()
            .map(|(_, operation)| *operation)
            .collect()
    }

    /// How many faults wait to happen.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many requests were held since the start.
    pub(crate) fn held_so_far(&self) -> u64 {
        self.held_lock().last
    }

    /// Uses up one occurrence of the oldest fault of `operation` whose kind is among `kinds`, and whose turn it is.
    pub(crate) fn take(&self, operation: Operation, kinds: &[FaultKind]) -> Option<Fault> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = None;
        for (at, fault) in waiting.iter_mut().enumerate() {
            if fault.operation != operation || !kinds.contains(&fault.kind) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else {
                due = due.or(Some(at));
            }
        }
        let at = due?;
        let fault = waiting[at];
        if fault.times <= 1 {
            waiting.remove(at);
        } else {
            waiting[at].times -= 1;
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_asked_and_only_at_its_operation() {
        let faults = Faults::default();
        faults
            .add(Fault::new(Operation::BuyNumber, FaultKind::Slow).with_times(2))
            .expect("a possible fault");
        assert_eq!(faults.take(Operation::ListNumbers, REQUEST), None);
        assert_eq!(faults.take(Operation::BuyNumber, &[FaultKind::Refused]), None);
        assert!(faults.take(Operation::BuyNumber, REQUEST).is_some());
        assert!(faults.take(Operation::BuyNumber, REQUEST).is_some());
        assert_eq!(faults.take(Operation::BuyNumber, REQUEST), None);
    }

    #[test]
    fn a_fault_waits_for_its_turn() {
        let faults = Faults::default();
        for (kind, skip) in [
            (FaultKind::Slow, 1),
            (FaultKind::Refused, 0),
            (FaultKind::ServerError, 3),
        ] {
            let fault = Fault::new(Operation::BuyNumber, kind).with_skip(skip);
            faults.add(fault).expect("a possible fault");
        }
        let happened: Vec<_> = (0..5)
            .map(|_| {
                faults
                    .take(Operation::BuyNumber, REQUEST)
                    .map(|fault| fault.kind())
            })
            .collect();
        let expected = [
            Some(FaultKind::Refused),
            Some(FaultKind::Slow),
            None,
            Some(FaultKind::ServerError),
            None,
        ];
        assert_eq!(happened, expected);
    }

    #[track_caller]
    fn check(names: (&str, &str, &str), said: &str) {
        let error = parse(names.0, names.1, names.2)
            .expect_err("the names are wrong")
            .to_string();
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn unknown_names_are_answered_with_the_allowed_ones() {
        check(("acme", "x", "y"), "allowed: twilio, elevenlabs");
        check(
            ("twilio", "signed_url", "slow"),
            "allowed for twilio: search_numbers, buy_number",
        );
        check(
            ("elevenlabs", "create_agent", "explode"),
            "allowed for create_agent: answer_lost, rate_limited",
        );
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        let fault = Fault::new(Operation::BuyNumber, FaultKind::Reorder);
        assert_eq!(
            Faults::default().add(fault),
            Err(FaultError::NotPossible(Operation::BuyNumber))
        );
        let endless = Fault::new(Operation::BuyNumber, FaultKind::Slow).with_times(0);
        assert_eq!(Faults::default().add(endless), Err(FaultError::OutOfRange));
    }
}
