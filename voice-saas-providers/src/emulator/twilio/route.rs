//! What a request is about.

use super::{port, trunk};
use crate::emulator::fault::Operation;

/// What a request is about: the 2010 API's resources by their names, then those of newer hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    ListAccounts,
    CreateAccount,
    FetchAccount(&'a str),
    UpdateAccount(&'a str),
    /// Something below an account.
    Below(&'a str, Resource<'a>),
    Trunk(trunk::Route<'a>),
    Prices(Option<&'a str>),
    Regulations(Option<&'a str>),
    Port(port::Route<'a>),
}

/// What lies below `/2010-04-01/Accounts/{sid}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Countries,
    Country(&'a str),
    Search { country: &'a str, kind: &'a str },
    BuyNumber { kind: Option<&'a str> },
    ListNumbers,
    FetchNumber(&'a str),
    UpdateNumber(&'a str),
    ReleaseNumber(&'a str),
    CreateCall,
    ListCalls,
    FetchCall(&'a str),
    UpdateCall(&'a str),
    DeleteCall(&'a str),
    ListCredentialLists,
    CreateCredentialList,
    FetchCredentialList(&'a str),
    DeleteCredentialList(&'a str),
    ListCredentials(&'a str),
    CreateCredential(&'a str),
    UpdateCredential(&'a str, &'a str),
    DeleteCredential(&'a str, &'a str),
}

impl<'a> Route<'a> {
    /// `None` for paths that are not emulated.
    pub(super) fn parse(method: &str, path: &'a str) -> Option<Self> {
        if let Some(path) = path.strip_prefix("/v1/Trunks") {
            return trunk::Route::parse(method, path).map(Self::Trunk);
        }
        if let Some(path) = path.strip_prefix("/v1/Porting/") {
            return port::Route::parse(method, path).map(Self::Port);
        }
        for (list, route) in [
            ("/v1/PhoneNumbers/Countries", Self::Prices as fn(_) -> _),
            ("/v2/RegulatoryCompliance/Regulations", Self::Regulations),
        ] {
            if let Some(path) = path.strip_prefix(list) {
                return match (method, path.strip_prefix('/')) {
                    ("GET", None) => Some(route(None)),
                    ("GET", Some(item)) if !item.contains('/') => Some(route(Some(item))),
                    _ => None,
                };
            }
        }
        Self::parse_2010(
            method,
            path.strip_prefix("/2010-04-01/Accounts")?.strip_suffix(".json")?,
        )
    }

    fn parse_2010(method: &str, path: &'a str) -> Option<Self> {
        let Some(path) = path.strip_prefix('/') else {
            return match method {
                "GET" => Some(Self::ListAccounts),
                "POST" => Some(Self::CreateAccount),
                _ => None,
            };
        };
        match (method, path.split_once('/')) {
            ("GET", None) => Some(Self::FetchAccount(path)),
            ("POST", None) => Some(Self::UpdateAccount(path)),
            (_, Some((account, path))) => Some(Self::Below(account, Resource::parse(method, path)?)),
            _ => None,
        }
    }

    /// The operation that faults know a request by.
    pub(super) fn operation(self) -> Option<Operation> {
        Some(match self {
            Self::ListAccounts => Operation::ListSubaccounts,
            Self::CreateAccount => Operation::CreateSubaccount,
            Self::UpdateAccount(_) => Operation::UpdateSubaccount,
            Self::Below(_, resource) => return resource.operation(),
            Self::Trunk(route) => match route {
                trunk::Route::List => Operation::ListTrunks,
                trunk::Route::Create => Operation::CreateTrunk,
                trunk::Route::Delete(_) => Operation::DeleteTrunk,
                trunk::Route::ListParts(..) => Operation::ListTrunkParts,
                trunk::Route::Add(_, trunk::Part::OriginationUrls)
                | trunk::Route::UpdateOriginationUrl(..) => Operation::SetOriginationUrl,
                trunk::Route::Add(_, trunk::Part::CredentialLists) => Operation::AttachCredentialList,
                trunk::Route::Add(_, trunk::Part::PhoneNumbers) => Operation::AttachNumber,
                trunk::Route::Remove(..) => Operation::DetachTrunkPart,
                trunk::Route::Fetch(_) | trunk::Route::Update(_) | trunk::Route::FetchPart(..) => {
                    return None;
                }
            },
            Self::Prices(Some(_)) => Operation::FetchPrices,
            Self::Regulations(None) => Operation::ListRegulations,
            Self::Port(route) => match route {
                port::Route::Portability(_) => Operation::CheckPortability,
                port::Route::Create => Operation::CreatePortIn,
                port::Route::List => Operation::ListPortIns,
                port::Route::Fetch(_) => Operation::FetchPortIn,
                port::Route::Cancel(_) => Operation::CancelPortIn,
            },
            Self::FetchAccount(_) | Self::Prices(None) | Self::Regulations(Some(_)) => return None,
        })
    }
}

impl<'a> Resource<'a> {
    fn parse(method: &str, path: &'a str) -> Option<Self> {
        const NUMBERS: &str = "IncomingPhoneNumbers";
        const SEARCH: &str = "AvailablePhoneNumbers";
        const LISTS: &str = "CredentialLists";
        let segments: Vec<&str> = path.split('/').collect();
        Some(match (method, segments.as_slice()) {
            ("GET", [SEARCH]) => Self::Countries,
            ("GET", [SEARCH, country]) => Self::Country(country),
            ("GET", [SEARCH, country, kind]) => Self::Search { country, kind },
            ("POST", [NUMBERS]) => Self::BuyNumber { kind: None },
            ("POST", [NUMBERS, kind @ ("Local" | "Mobile" | "TollFree")]) => {
                Self::BuyNumber { kind: Some(kind) }
            }
            ("GET", [NUMBERS]) => Self::ListNumbers,
            ("GET", [NUMBERS, sid]) => Self::FetchNumber(sid),
            ("POST", [NUMBERS, sid]) => Self::UpdateNumber(sid),
            ("DELETE", [NUMBERS, sid]) => Self::ReleaseNumber(sid),
            ("POST", ["Calls"]) => Self::CreateCall,
            ("GET", ["Calls"]) => Self::ListCalls,
            ("GET", ["Calls", sid]) => Self::FetchCall(sid),
            ("POST", ["Calls", sid]) => Self::UpdateCall(sid),
            ("DELETE", ["Calls", sid]) => Self::DeleteCall(sid),
            ("GET", ["SIP", LISTS]) => Self::ListCredentialLists,
            ("POST", ["SIP", LISTS]) => Self::CreateCredentialList,
            ("GET", ["SIP", LISTS, list]) => Self::FetchCredentialList(list),
            ("DELETE", ["SIP", LISTS, list]) => Self::DeleteCredentialList(list),
            ("GET", ["SIP", LISTS, list, "Credentials"]) => Self::ListCredentials(list),
            ("POST", ["SIP", LISTS, list, "Credentials"]) => Self::CreateCredential(list),
            ("POST", ["SIP", LISTS, list, "Credentials", sid]) => Self::UpdateCredential(list, sid),
            ("DELETE", ["SIP", LISTS, list, "Credentials", sid]) => Self::DeleteCredential(list, sid),
            _ => return None,
        })
    }

    fn operation(self) -> Option<Operation> {
        Some(match self {
            Self::Search { .. } => Operation::SearchNumbers,
            Self::BuyNumber { .. } => Operation::BuyNumber,
            Self::ListNumbers => Operation::ListNumbers,
            Self::FetchNumber(_) => Operation::FetchNumber,
            Self::UpdateNumber(_) => Operation::UpdateNumber,
            Self::ReleaseNumber(_) => Operation::ReleaseNumber,
            Self::CreateCall => Operation::CreateCall,
            Self::ListCalls => Operation::ListCalls,
            Self::FetchCall(_) => Operation::FetchCall,
            Self::UpdateCall(_) => Operation::UpdateCall,
            Self::ListCredentialLists => Operation::ListCredentialLists,
            Self::CreateCredentialList => Operation::CreateCredentialList,
            Self::DeleteCredentialList(_) => Operation::DeleteCredentialList,
            Self::ListCredentials(_) => Operation::ListCredentials,
            Self::CreateCredential(_) | Self::UpdateCredential(..) => Operation::SetCredential,
            Self::Countries
            | Self::Country(_)
            | Self::DeleteCall(_)
            | Self::FetchCredentialList(_)
            | Self::DeleteCredential(..) => return None,
        })
    }
}
