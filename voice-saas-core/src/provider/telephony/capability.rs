//! What a provider can do, for a table in the documentation and for refusing early.

use serde::Serialize;

/// One thing that a provider may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// Lists numbers that can be had.
    SearchNumbers,
    /// Buys a number, or takes one from the account's plan.
    BuyNumbers,
    /// Takes into service a number that the account holds already.
    ImportNumbers,
    /// Lists the numbers of the account.
    ListNumbers,
    /// Points the calls of a number somewhere by its interface.
    ConfigureNumbers,
    /// Gives a number back.
    ReleaseNumbers,
    /// Keeps a name of ours with each number, by which a doubtful purchase is found again.
    NameNumbers,
    /// Moves a number in from another carrier.
    PortNumbers,
    /// Keeps the resources of each tenant in an account of its own.
    Subaccounts,
    /// SIP trunks.
    Trunks,
    /// Answers calls to its numbers with what we say.
    AnswerCalls,
    /// Places calls.
    PlaceCalls,
    /// Tells the state of a single call.
    FetchCalls,
    /// Ends a call.
    HangUp,
    /// Connects a call elsewhere.
    TransferCalls,
    /// Carries the audio of a call to us and back.
    Media,
    /// Puts an agent into a room.
    DispatchAgents,
    /// Sends text messages.
    Messages,
}

impl Capability {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 18] = [
        Self::SearchNumbers,
        Self::BuyNumbers,
        Self::ImportNumbers,
        Self::ListNumbers,
        Self::ConfigureNumbers,
        Self::ReleaseNumbers,
        Self::NameNumbers,
        Self::PortNumbers,
        Self::Subaccounts,
        Self::Trunks,
        Self::AnswerCalls,
        Self::PlaceCalls,
        Self::FetchCalls,
        Self::HangUp,
        Self::TransferCalls,
        Self::Media,
        Self::DispatchAgents,
        Self::Messages,
    ];
}
