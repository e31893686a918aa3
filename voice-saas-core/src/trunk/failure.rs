//! Why a trunk could not be set up.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TrunkError;
use crate::provider::{ErrorKind, ProviderError, Recovery};

/// Why a trunk could not be set up. It is kept with the saga as its report, and in the trunk's row for its tenant; it
/// holds no words of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrunkFailure {
    /// The number was given back in the meantime.
    NumberNotHeld,
    /// No media side is configured any more.
    NotConfigured,
    /// The number's calls go through a trunk that we did not make.
    Foreign {
        /// Where.
        provider: String,
    },
    /// A provider failed.
    Provider {
        /// Which.
        provider: String,
        /// Whether the same may succeed later.
        retryable: bool,
    },
}

impl TrunkFailure {
    pub(super) fn of(error: &ProviderError) -> Self {
        let provider = error.provider().to_string();
        match error.kind() {
            ErrorKind::Conflict => Self::Foreign { provider },
            _ => Self::Provider {
                provider,
                retryable: !matches!(error.recovery(), Recovery::GiveUp),
            },
        }
    }

    /// What a saga's error says: why it turned back, or else why it is stuck.
    pub(super) fn of_saga(error: &Value) -> Option<Self> {
        [&error["before"]["report"], &error["report"]]
            .into_iter()
            .find_map(|report| serde_json::from_value(report.clone()).ok())
    }

    pub(super) fn into_error(failure: Option<Self>, media: &str) -> TrunkError {
        match failure {
            Some(Self::NumberNotHeld) => TrunkError::NumberNotHeld,
            Some(Self::NotConfigured) => TrunkError::NotConfigured,
            Some(Self::Foreign { provider }) => TrunkError::Foreign { provider },
            Some(Self::Provider { provider, retryable }) => TrunkError::Provider { provider, retryable },
            None => TrunkError::Provider {
                provider: media.to_owned(),
                retryable: true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stuck_saga_tells_why_it_turned_back() {
        let why = json!({ "code": "provider", "provider": "livekit", "retryable": true });
        let turned_back = json!({ "detail": "…", "report": why });
        let stuck = json!({ "detail": "…", "report": null, "before": turned_back });
        let expected = TrunkFailure::Provider {
            provider: "livekit".to_owned(),
            retryable: true,
        };
        for error in [turned_back, stuck] {
            assert_eq!(TrunkFailure::of_saga(&error), Some(expected.clone()));
        }
        assert_eq!(
            TrunkFailure::of_saga(&json!({ "detail": "…", "report": null })),
            None
        );
    }
}
